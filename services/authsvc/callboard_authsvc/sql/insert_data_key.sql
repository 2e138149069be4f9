insert into cb.data_key (organisation, kek_id, wrapped) values ($1, $2, $3) on conflict (organisation) do nothing
