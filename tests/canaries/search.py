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


async def tables(dsn: str) -> Iterator[Place]:
    """Every row of every table, whatever schema it is in."""
    connection = await asyncpg.connect(dsn)
    found: list[Place] = []
    try:
        names = await connection.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables "
            "where schemaname not like 'pg_%' and schemaname <> 'information_schema'"
        )
        for name in [row["name"] for row in names]:
            rows = await connection.fetch(f"select t::text as row from {name} t")
            found.append((f"table {name}", "\n".join(row["row"] for row in rows).encode()))
    finally:
        await connection.close()
    return iter(found)


async def streams(stack: Stack, nats_url: str) -> Iterator[Place]:
    """Every message of every stream and bucket, with subject and headers."""
    trust = DataDirectory(stack.directory).bus_trust()
    everything = Permissions(publish=(">",), subscribe=(">",))
    client, found = Client(), []
    await client.connect(nats_url, user_credentials=user_creds(trust, "canaries", everything).raw())
    try:
        jetstream = client.jetstream()
        for info in await jetstream.streams_info():
            name = info.config.name or ""
            pieces = []
            config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, mem_storage=True)
            reading = await jetstream.pull_subscribe("", stream=name, config=config)
            left = info.state.messages
            while left > 0:
                try:
                    batch = await reading.fetch(min(left, 200), timeout=2)
                except (FetchTimeoutError, TimeoutError):
                    break
                left -= len(batch)
                pieces += [f"{m.subject} {m.headers}".encode() + b" " + m.data for m in batch]
            await reading.unsubscribe()
            found.append((f"stream {name}", b"\n".join(pieces)))
    finally:
        await client.close()
    return iter(found)


def archive(path: Path) -> Iterator[Place]:
    """What a backup holds."""
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            yield "a backup", packed.read(name)
