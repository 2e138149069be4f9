"""Callboard as the OAuth authorization server of MCP clients: who they are, what they may do, their tokens."""
