"""What an upstream offers: list it, judge each definition, tell the router when it changed."""
