"""IO that every room shares: the bus, the event store on Postgres, settings, telemetry, health."""
