update cb.person set password = $2 where person = $1
