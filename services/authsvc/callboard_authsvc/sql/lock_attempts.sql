select pg_advisory_xact_lock(hashtextextended(encode(subject, 'hex'), 0)) from unnest($1::bytea[]) as t (subject)
