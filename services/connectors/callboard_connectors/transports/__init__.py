"""Bytes to and from upstreams: Streamable HTTP, stdio children, SSE."""
