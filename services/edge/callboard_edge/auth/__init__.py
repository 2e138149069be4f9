"""Who is asking: tokens verified by authsvc, cached for seconds, dropped when revoked."""
