select first_seq, last_seq, outcome, detail
from cb.append_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
