update cb.data_key set retired_at = now() where organisation = $1 and version < $2 and retired_at is null
