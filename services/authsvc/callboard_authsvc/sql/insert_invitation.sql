insert into cb.invitation (invitation, organisation, verifier, email, expires_at) values ($1, $2, $3, $4, $5)
