update rm.rebuild set state = 'done', ended_at = clock_timestamp(), checksum_before = $3, checksum_after = $4,
  problem = $5
where projection = $1 and token = $2
