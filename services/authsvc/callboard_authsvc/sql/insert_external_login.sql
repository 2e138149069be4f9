insert into cb.external_login (state, ticket, verifier, nonce, expires_at) values ($1, $2, $3, $4, $5)
