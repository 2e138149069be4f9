"""`python -m bench` is `make bench`: see `bench.callboard`."""

from __future__ import annotations

from bench.callboard import main

if __name__ == "__main__":
    main()
