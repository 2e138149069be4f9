"""The authsvc: organisations, client tokens, analytics consumers and the vault.

    entry/           decode, one call, reply
    organisations/   an organisation begins; is there one of this name?
    tokens/          client tokens: issue, verify, revoke, list; the bootstrap administrator
    vault/           secrets of servers: store, open, destroy, list; keys and sealing
    consumers/       analytics consumers: admit, dismiss, list; upkeep of what NATS knows of them
    journal.py       load a stream, decide, append
    adapters/        Postgres tables, the key file, NATS

Above: the edge (commands, asks, verification) and the connectors (`OpenSecrets`), over the bus.
Below: Postgres (`0002_vault.sql`), the key file, and the operator's keys of NATS where NATS is ours.
"""
