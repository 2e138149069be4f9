"""Webhooks of ours: events of an organisation, signed and sent to where its administrators say."""
