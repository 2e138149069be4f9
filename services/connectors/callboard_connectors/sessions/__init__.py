"""What is agreed with an upstream: its era, its session, its state, when it is tried again."""
