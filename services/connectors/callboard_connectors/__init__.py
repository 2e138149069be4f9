"""The connectors room: holds the connections to upstream MCP servers and makes the calls.

Above: the router sends calls on `cb.call.<organisation>.<server>`; answers go straight to the edge's inbox.
Below: upstream servers over Streamable HTTP, HTTP+SSE, WebSocket and stdio, the log (which servers there are),
authsvc (secrets).
"""
