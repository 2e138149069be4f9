"""The official conformance suite of the protocol: against the fixture, and through Callboard in every arrangement.

`make conformance` prints the table; the tests of this folder hold the same figures to `expected.yaml`.

    suite.py            runs the suite and counts its checks
    checks.yaml         how many checks each scenario makes of a server that has everything
    client_checks.yaml  the same of a client
    expected.yaml       what is expected not to pass, where, and why; per leg (`server`, `client`)
    expectations.py     judges outcomes by that list, both ways
    configurations.py   the arrangements of the server leg
    gateway.py          a running Callboard with everything that the arrangements need

    clients.py          runs the client leg, two scenarios at a time
    shim.py             what the suite starts as the client: `connector.py` with what a scenario wants to see
    connector.py        the connector as a library, and a small client on top

In the server leg the suite plays a client towards Callboard, in the client leg the upstreams of a connector.
"""
