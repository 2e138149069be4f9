update cb.relay_stream set last_seq = $2 where stream = $1
