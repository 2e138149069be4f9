select person, email, name, password, administers from cb.person where email = $1
