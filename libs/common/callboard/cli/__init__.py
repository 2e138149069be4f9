"""The `callboard` command. Nothing heavy is imported before a command is chosen."""
