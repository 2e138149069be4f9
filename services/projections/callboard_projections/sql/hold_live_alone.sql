select suffix, layout from rm.projection where projection = $1 for update
