select pg_advisory_unlock(hashtextextended('callboard consumers', 0))
