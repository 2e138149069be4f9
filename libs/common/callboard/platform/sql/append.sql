select first_seq, last_seq, replayed
from cb.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
