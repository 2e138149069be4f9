select created, last_seq from cb.relay_stream where stream = $1
