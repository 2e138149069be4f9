"""Members of organisations: who they are there, by which invitation, and what a key may do because of them."""
