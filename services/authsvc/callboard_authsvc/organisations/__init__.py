"""Organisations: everything belongs to one, and nothing crosses from one to another."""
