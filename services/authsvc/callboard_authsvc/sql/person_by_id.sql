select person, email, name, password, administers from cb.person where person = $1
