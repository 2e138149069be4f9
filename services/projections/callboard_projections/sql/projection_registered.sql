insert into rm.projection (projection, suffix, layout) values ($1, $2, $3)
on conflict (projection) do nothing
returning projection
