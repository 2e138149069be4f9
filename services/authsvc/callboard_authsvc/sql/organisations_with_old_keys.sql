select distinct organisation from cb.data_key where retired_at is not null
