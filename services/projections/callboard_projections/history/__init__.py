"""Read models: the log folded into tables, and the questions that they answer."""
