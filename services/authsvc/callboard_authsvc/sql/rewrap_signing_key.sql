update cb.signing_key set kek_id = $3, wrapped = $4 where kid = $1 and wrapped = $2
