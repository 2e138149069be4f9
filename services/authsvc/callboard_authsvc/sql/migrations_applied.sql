select name from cb.migration
