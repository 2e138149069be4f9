select distinct kek_id from cb.data_key
