select pg_advisory_xact_lock(hashtext('callboard.call_partitions'))
