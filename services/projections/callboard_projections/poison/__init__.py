"""Events that a projection cannot fold: recorded, shown, and decided about by an operator."""
