select max(created_at) from cb.oauth_grant
where client_id = $1 and member = $2 and organisation = $3 and playbook = $4 and means = 'consent'
