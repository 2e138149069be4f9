select encode(sha256(convert_to(array_to_string($1::text[], ' '), 'UTF8')), 'hex')
