-- Owned by authsvc. Webhooks that were taken, so that none has an effect twice; as long as their time would be accepted.
create table cb.webhook_received (
  id text primary key,
  at timestamptz not null
);
