"""`callboard bridge URL`: an MCP server on stdin and stdout that forwards to an endpoint: Streamable HTTP or WebSocket.

Smaller than a client on purpose: it reads the outside of messages and passes their bytes on. Follow one line of the
client: `stdio` > `client_side` (what is it) > `app` > `requests` (until it is answered) > `endpoint` (HTTP); back:
`sse` > `stdio`. Over a WebSocket: `client_side` > `web_socket` (one socket, opened by `dial`), there and back.
"""
