"""One call: rebuild the request, send it once, answer the edge, leave a record."""
