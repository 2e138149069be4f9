select state = 'done' from rm.rebuild where projection = $1 and token = $2
