"""From the log to JetStream, which may be lost at any time and is then filled again."""
