"""Where secrets must not be: everything that an installation writes down, and every form a secret may have there."""

from __future__ import annotations

import base64
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.errors import FetchTimeoutError

from callboard.local.data_dir import DataDirectory
from callboard.platform.bus_identity import Permissions, user_creds
from callboard.platform.walls import KEEPER
from tests.support.stack import Stack

Place = tuple[str, bytes]
"""What it is called, and what stands there."""


def forms(secret: str) -> set[bytes]:
    """The secret as it is, in hex, in a URL, in JSON with escapes, and in base64 at each of the three offsets."""
    plain = secret.encode()
    found = {plain, plain.hex().encode(), plain.hex().upper().encode(), quote(secret, safe="").encode()}
    for offset in range(3):
        # What does not depend on the bytes before and behind.
        encoded = base64.b64encode(b"\0" * offset + plain)
        core = encoded[(0, 2, 3)[offset] : len(encoded) - 4]
        found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def hits(places: Iterable[Place], secrets: dict[str, str]) -> list[tuple[str, str]]:
    """(name of the secret, place) of every one that stands somewhere."""
    wanted = [(name, form) for name, secret in secrets.items() for form in forms(secret)]
    return sorted({(name, place) for place, text in places for name, form in wanted if form in text})


def environment_of(stack: Stack, child: str) -> dict[str, str]:
    """With what a process of the installation was started."""
    pairs = Path(f"/proc/{stack.pids()[child]}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)


def files(stack: Stack) -> Iterator[Place]:
    """Every file but the keys, the administrator's own token, and the database, which is read as a database."""
    yield "what it says", stack.directory.with_name(f"{stack.directory.name}.out").read_bytes()
    yield "what it says", stack.directory.with_name(f"{stack.directory.name}.err").read_bytes()
    for path in sorted(stack.directory.rglob("*")):
        kind = path.relative_to(stack.directory).parts[0]
        if path.is_file() and kind not in ("keys", "postgres", "admin.env"):
            yield kind, path.read_bytes()


_TABLES = """
select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition
  and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
"""


async def tables(dsn: str) -> Iterator[Place]:
    """Every row of every table, by the role that sees all of them."""
    connection = await asyncpg.connect(dsn, server_settings={"role": KEEPER})
    found: list[Place] = []
    try:
        for name in [row["name"] for row in await connection.fetch(_TABLES)]:
            rows = await connection.fetch(f"select t::text as row from {name} t")
            found.append((f"table {name}", "\n".join(row["row"] for row in rows).encode()))
    finally:
        await connection.close()
    return iter(found)


async def streams(stack: Stack, nats_url: str) -> Iterator[Place]:
    """Every message of every stream and bucket, with subject and headers."""
    trust = DataDirectory(stack.directory).bus_trust()
    everything = Permissions(publish=(">",), subscribe=(">",))
    client = Client()
    await client.connect(nats_url, user_credentials=user_creds(trust, "canaries", everything).raw())
    try:
        return iter(await messages(client))
    finally:
        await client.close()


async def messages(client: Client) -> list[Place]:
    """The same, by a connection that may do everything."""
    jetstream, found = client.jetstream(), []
    for info in await jetstream.streams_info():
        name, pieces, left = info.config.name or "", [], info.state.messages
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, mem_storage=True)
        reading = await jetstream.pull_subscribe(">", stream=name, config=config)
        while left > 0:
            try:
                batch = await reading.fetch(min(left, 200), timeout=2)
            except (FetchTimeoutError, TimeoutError):
                break
            left -= len(batch)
            pieces += [f"{m.subject} {m.headers}".encode() + b" " + m.data for m in batch]
        await reading.unsubscribe()
        found.append((f"stream {name}", b"\n".join(pieces)))
    return found


def archive(path: Path) -> Iterator[Place]:
    """What a backup holds."""
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            yield "a backup", packed.read(name)
