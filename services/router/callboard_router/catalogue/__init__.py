"""What a playbook exposes: names, filters, prepared lists, argument validation."""
