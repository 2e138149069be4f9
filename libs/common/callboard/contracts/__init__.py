"""Every message that crosses a process border, by subject. Imports nothing else of Callboard."""
