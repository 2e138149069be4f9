select distinct kek_id from cb.data_key
union
select kek_id from cb.person where kek_id is not null
