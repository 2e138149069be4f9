select person from cb.external_identity where issuer = $1 and subject = $2
