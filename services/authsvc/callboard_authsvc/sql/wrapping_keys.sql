select distinct kek_id from cb.data_key
union
select kek_id from cb.person_key where kek_id is not null
union
select kek_id from cb.signing_key
