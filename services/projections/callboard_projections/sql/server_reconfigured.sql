update rm.server_{n} set definition = $3 where organisation = $1 and server = $2
