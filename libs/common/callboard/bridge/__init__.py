"""`callboard bridge URL`: an MCP server on stdin and stdout that forwards to a Streamable HTTP endpoint.

Smaller than a client on purpose: it reads the outside of messages and passes their bytes on. Follow one line of the
client: `stdio` > `app` (what is it) > `requests` (until it is answered) > `endpoint` (HTTP); back: `sse` > `stdio`.
"""
