delete from cb.signing_key where kid = $1
