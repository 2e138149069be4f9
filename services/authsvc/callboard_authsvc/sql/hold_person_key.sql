-- Held until the end of the transaction, so that a token is not issued for a person who is erased meanwhile.
select true from cb.person_key where organisation = $1 and person = $2 and erased_at is null for share
