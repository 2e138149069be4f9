insert into cb.person (person, email, name, password, administers, created_at) values ($1, $2, $3, $4, $5, $6)
on conflict do nothing returning person
