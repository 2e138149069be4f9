select suffix, layout from rm.projection where projection = $1
