select invitation, organisation, verifier, email, expires_at, ended_at from cb.invitation where invitation = $1
