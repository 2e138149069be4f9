"""What the bus pushes to the edge."""
