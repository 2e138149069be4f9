"""structlog without what colours a terminal: rooms write lines of JSON to files. Import this before structlog.

structlog takes rich when it is there as it is imported: four MiB and sixty milliseconds in each room. Whoever wants
colours themselves imports rich after this as ever.
"""

import sys

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # the way to say that there is none
    import structlog as structlog

    del sys.modules["rich"]
