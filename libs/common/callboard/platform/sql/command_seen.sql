select request_hash, first_seq, last_seq from cb.command where organisation = $1 and command_id = $2
