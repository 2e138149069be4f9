insert into cb.data_key (organisation, version, kek_id, wrapped) values ($1, $2, $3, $4)
on conflict (organisation, version) do nothing
