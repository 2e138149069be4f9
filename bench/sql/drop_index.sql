drop index cb.{name}
