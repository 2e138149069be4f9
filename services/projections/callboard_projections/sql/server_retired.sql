delete from rm.server_{n} where organisation = $1 and server = $2
