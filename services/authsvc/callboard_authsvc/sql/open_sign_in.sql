insert into cb.upstream_sign_in as s (organisation, server, subject, handle, challenge, expires_at)
values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
on conflict (organisation, server, subject) do update set challenge = excluded.challenge,
  handle = case when s.expires_at > now() + make_interval(secs => $7) then s.handle else excluded.handle end,
  state_hash = case when s.expires_at > now() + make_interval(secs => $7) then s.state_hash end,
  sealed = case when s.expires_at > now() + make_interval(secs => $7) then s.sealed end,
  expires_at = case when s.expires_at > now() + make_interval(secs => $7) then s.expires_at else excluded.expires_at end
returning handle
