update rm.projection set suffix = $2, layout = $3, switched_at = now() where projection = $1
