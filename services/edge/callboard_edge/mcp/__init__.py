"""The MCP endpoint: both eras on one URL, from HTTP to one message on the bus and back."""
