"""What the plan of an organisation allows it to have and to use."""
