update cb.poison_event set state = 'folded' where projection = $1 and state = 'due'
