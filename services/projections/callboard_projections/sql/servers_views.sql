create or replace view rm.server as
select organisation, server, definition, tools, prompts, resources, catalogue_digest, discovered_at, quarantined
from rm.server_{n}
