"""`python -m bench` is `make bench`: see `bench.gateways`."""

from __future__ import annotations

from bench.gateways import main

if __name__ == "__main__":
    main()
