"""Call records: from the stream CB_CALLS into daily partitions of `cb.call`."""
