"""Playbook versions: publish by applying a file, roll back, retire."""
