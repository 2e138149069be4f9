"""Projects: playbooks of an organisation in groups."""
