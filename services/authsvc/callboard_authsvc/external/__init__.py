"""Persons whom an identity provider vouches for (OpenID Connect), and the roles that follow from their groups."""
