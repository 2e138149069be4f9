insert into rm.playbook_version_{n} (organisation, playbook, version, reason, actor, comment, recorded_at,
  content_digest, tools, rolled_back_to, seq, content)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
  $8::text[], $9::int[], $10::bigint[], $11::bigint[], $12::json[])
