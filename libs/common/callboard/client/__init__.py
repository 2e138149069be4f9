"""The Python SDK: `Callboard` for the management API, `McpEndpoint` for a playbook. Synchronous, typed.

    with Callboard("http://127.0.0.1:8700", token) as callboard:
        for playbook in callboard.playbooks("demo").playbooks: ...

Above: the CLI, people's scripts. Below: httpx2 and `contracts`.
"""

from callboard.client.management import Callboard
from callboard.client.mcp import McpEndpoint, McpError
from callboard.client.transport import Unreachable

__all__ = ["Callboard", "McpEndpoint", "McpError", "Unreachable"]
