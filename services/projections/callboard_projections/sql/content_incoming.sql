create temporary table if not exists content_incoming (like cb.call_content) on commit delete rows
