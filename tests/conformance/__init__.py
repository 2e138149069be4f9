"""The official conformance suite of the protocol: against the fixture, and through Callboard in every arrangement.

`make conformance` prints the table; the tests of this folder hold the same figures to `expected.yaml`.

    suite.py            runs the suite and counts its checks
    checks.yaml         how many checks each scenario makes of a server that has everything
    expected.yaml       what is expected not to pass, where, and why; per leg (`server`, `client`)
    expectations.py     judges outcomes by that list, both ways
    configurations.py   the arrangements of the server leg
    gateway.py          a running Callboard with everything that the arrangements need

The server leg plays a client towards Callboard. The client leg (the suite plays the upstream of a connector) shares
`suite.requirements(revision, "client")`, `suite.outcomes` and the `client` section of `expected.yaml`.
"""
