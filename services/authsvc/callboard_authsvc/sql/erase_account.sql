-- With sessions and links for another password; see migrations/0039_walls.sql.
select cb.erase_account($1, $2)
