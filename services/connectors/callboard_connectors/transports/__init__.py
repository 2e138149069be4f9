"""Bytes to and from upstreams: Streamable HTTP, the older HTTP+SSE, WebSocket, stdio children."""
