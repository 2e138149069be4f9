select pg_advisory_lock(hashtextextended('callboard consumers', 0))
