-- Calls of organisations whose plan limits them, by day (UTC). Owned by the router, which adds to it every second.
create table cb.calls_used (
  organisation text not null,
  day date not null,
  used bigint not null,
  primary key (organisation, day)
);
