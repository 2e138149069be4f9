"""Who was refused: counted in memory, and written to the log in bursts that have a bound."""
