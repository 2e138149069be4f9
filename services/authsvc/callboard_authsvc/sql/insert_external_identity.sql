insert into cb.external_identity (issuer, subject, person) values ($1, $2, $3)
on conflict (issuer, subject) do nothing
