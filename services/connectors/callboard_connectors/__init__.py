"""The connectors: own every upstream connection, HTTP or stdio, discover what servers offer, run the calls."""
