"""IO that every room shares: the bus, the event store on Postgres, settings, telemetry, health."""

import sys

if "rich" not in sys.modules:
    # structlog takes what it finds for colours on a terminal, also where every line is JSON for a file: four MiB and
    # sixty milliseconds in each room. Whoever wants colours themselves imports them after this as ever.
    sys.modules["rich"] = None  # type: ignore[assignment]  # the way to say that there is none
    import structlog as structlog

    del sys.modules["rich"]
