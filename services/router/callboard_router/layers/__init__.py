"""Layers: what playbooks get from the installation, their organisation and their project."""
