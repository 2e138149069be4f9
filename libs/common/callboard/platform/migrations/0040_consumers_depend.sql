-- The member on whose right a consumer depends; empty: nobody's (an administrator of the installation admitted it, or it
-- was admitted before this was noted).
alter table cb.consumer add column admitted_by text not null default '';
