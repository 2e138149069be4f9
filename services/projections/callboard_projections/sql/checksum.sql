select encode(sha256(coalesce(string_agg(row_hash, ''::bytea order by row_hash), ''::bytea)), 'hex')
from (select sha256(convert_to(t::text, 'UTF8')) as row_hash from {table} t) hashed
