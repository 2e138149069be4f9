"""The edge: ends MCP and HTTP, verifies tokens, turns a request into one message on the bus and the answer back."""
