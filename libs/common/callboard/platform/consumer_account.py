"""A NATS account of its own for each analytics consumer, in which there is nothing but what it may read.

Above: authsvc. Below: `bus_identity` (signatures), and requests to the server's system account.

Permissions are not enough. Who may pull from a durable chooses the reply subject, and the server publishes there in
the account of the request, past all permissions: in the main account a consumer could so purge the streams, write
into a KV bucket, or forge events of another organisation. In an account that imports two durables and two live
feeds it reaches only itself. Closing the account ends its connections.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import nats
import nkeys
from nats.aio.client import Client

from callboard.platform.bus_identity import (
    BusIdentityError,
    Permissions,
    Trust,
    UserCredentials,
    account_claims,
    issue_credentials,
    new_seed,
    public_key_of,
    sign_claims,
    system_user_creds,
    user_claims,
)

_SYSTEM_USER_SECONDS: Final = 60
_CONNECTIONS: Final = 16
# What was signed for a closed account until then is refused: for ever, and whatever the clocks said.
_REFUSED_UNTIL: Final = 4_102_444_800


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What an account reaches: `services` by its own subject -> subject of the main account, and `feeds`."""

    services: Mapping[str, str]
    feeds: tuple[str, ...]


def new_account(name: str, permissions: Permissions) -> UserCredentials:
    """Credentials whose `public_key` is that of a new account; they work when `open_account` was put.

    The account's private key signs this one user and is forgotten.
    """
    seed = new_seed(nkeys.PREFIX_BYTE_ACCOUNT)
    user = issue_credentials(seed, name, user_claims(permissions), None)
    return UserCredentials(text=user.text, public_key=public_key_of(seed))


def open_account(trust: Trust, name: str, account: str, access: Access) -> str:
    """The JWT of an account that reaches this much of the main account."""
    imports = [
        {"name": local, "type": "service", "account": trust.account_key, "subject": subject, "local_subject": local}
        for local, subject in access.services.items()
    ]
    imports += [
        {"name": feed, "type": "stream", "account": trust.account_key, "subject": feed} for feed in access.feeds
    ]
    return sign_claims(trust.operator_seed, name, account, _claims(_CONNECTIONS) | {"imports": imports})


def closed_account(trust: Trust, name: str, account: str) -> str:
    """The JWT of an account that nobody can use; who is connected is disconnected."""
    claims = _claims(0) | {"revocations": {"*": _REFUSED_UNTIL}}
    return sign_claims(trust.operator_seed, name, account, claims)


async def put_accounts(nats_url: str, trust: Trust, tokens: Sequence[str], *, within: float = 5.0) -> int:
    """Have the server keep these account JWTs; returns how many of them said something new.

    One that says what the server has already is not sent: an update disturbs whoever is connected.
    """
    if not tokens:
        return 0
    system = system_user_creds(trust, expires_at=int(time.time()) + _SYSTEM_USER_SECONDS)
    connection = await nats.connect(
        nats_url,
        user_credentials=system.raw(),
        allow_reconnect=False,
        connect_timeout=within,
        name="accounts",
    )
    try:
        return sum([await _put(connection, token, within) for token in tokens])
    finally:
        await connection.close()


async def _put(connection: Client, token: str, within: float) -> bool:
    says = _decoded(token)
    found = await connection.request(f"$SYS.REQ.ACCOUNT.{says['sub']}.CLAIMS.LOOKUP", b"", timeout=within)
    if found.data and _meaning(_decoded(found.data.decode())) == _meaning(says):
        return False
    reply = await connection.request("$SYS.REQ.CLAIMS.UPDATE", token.encode(), timeout=within)
    answer = json.loads(reply.data)
    if answer.get("data", {}).get("code") != 200:
        raise BusIdentityError(f"the server refused the account: {answer.get('error') or answer.get('data')}")
    return True


def _claims(connections: int) -> dict[str, Any]:
    claims = account_claims({})
    limits = claims["limits"] | {"conn": connections, "exports": 0, "leaf": 0}
    return claims | {"limits": limits}


def _decoded(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return decoded


def _meaning(claims: Mapping[str, Any]) -> tuple[object, ...]:
    return claims["iss"], claims["sub"], claims["name"], claims["nats"]
