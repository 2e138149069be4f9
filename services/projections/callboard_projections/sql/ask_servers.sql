select server, definition, tools, prompts, resources, catalogue_digest, discovered_at, quarantined
from rm.server where organisation = $1 order by server
