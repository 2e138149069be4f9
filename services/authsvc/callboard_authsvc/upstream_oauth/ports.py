"""What signing in needs of the world. Adapters: `callboard_authsvc.adapters`; tests have some in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from callboard.contracts.definitions import ServerDefinition
from callboard.contracts.upstream_sign_in import UpstreamSignOut
from callboard.platform.egress import Fetched
from callboard_authsvc.clock import Chance
from callboard_authsvc.upstream_oauth.domain import Challenge, Client, Flow, Grant, Whose
from callboard_authsvc.upstream_oauth.standing import Standings


class Fetch(Protocol):
    """One request to a host that somebody named; see `callboard.platform.egress.Egress.fetch`."""

    async def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        limit: int = ...,
        seconds: float = ...,
    ) -> Fetched:
        """Raises `EgressRefused`, `FetchFailed`."""


class Held(msgspec.Struct, frozen=True):
    """A grant as kept. `version` grows with every change; `lost`: only a person can make it usable again."""

    grant: Grant
    version: int
    lost: bool = False


class Line(msgspec.Struct, frozen=True):
    """A grant as listed."""

    subject: str
    lost: bool
    issuer: str
    scopes: tuple[str, ...]
    updated_at: datetime


class Grants(Protocol):
    """The grants, sealed where they lie."""

    async def find(self, whose: Whose) -> Held | None:
        """The newest version."""

    async def keep(self, whose: Whose, grant: Grant, over: int | None) -> int | None:
        """Keep it as the next version and end the lease; returns the version.

        With `over`, only in the place of that version: None when somebody was faster.
        """

    async def lease(self, whose: Whose, version: int, seconds: float) -> bool:
        """Be the one who renews this version, for so long; False when somebody else is, or has."""

    async def release(self, whose: Whose, version: int) -> None:
        """Did not renew it after all."""

    async def lose(self, whose: Whose, version: int) -> None:
        """This version cannot be renewed any more."""

    async def lines(self, organisation: str, server: str) -> list[Line]:
        """Every grant of a server."""


class Clients(Protocol):
    """Who Callboard is at each authorization server, per organisation; sealed."""

    async def find(self, organisation: str, issuer: str) -> Client | None:
        """As registered there."""

    async def keep(self, organisation: str, issuer: str, client: Client) -> None:
        """In place of what was there."""

    async def drop(self, organisation: str, issuer: str, client_id: str) -> None:
        """The authorization server does not know this one any more."""


class SignIns(Protocol):
    """Sign-ins under way: first a link for a person, then a flow that waits for a browser. Both end by themselves."""

    async def open(self, whose: Whose, challenge: Challenge) -> str:
        """The handle of the link; the same while one is open."""

    async def look(self, handle: str) -> tuple[Whose, Challenge] | None:
        """What the link is for."""

    async def park(self, handle: str, state: str, flow: Flow) -> bool:
        """Wait for this state; one that was parked under the handle before does not count any more."""

    async def take(self, state: str) -> Flow | None:
        """The flow that waited for it, once."""


class Servers(Protocol):
    """The servers that are registered."""

    async def definition(self, organisation: str, server: str) -> ServerDefinition | None:
        """The newest definition; None for one that is not registered (any more)."""


class Secrets(Protocol):
    """The vault."""

    async def value(self, organisation: str, secret: str) -> str:
        """The newest value; raises `Problem`."""


class Journal(Protocol):
    """The log, in which it stands who signed in to what."""

    async def signed_in(self, whose: Whose, grant: Grant, actor: str) -> None:
        """Keep the grant in the place of any other, and write down that it is there."""

    async def lost(self, whose: Whose) -> None:
        """A grant cannot be renewed."""

    async def signed_out(self, command: UpstreamSignOut, whose: Whose) -> int:
        """Forget the grant, and write that down; returns its place in the log."""


@dataclass(frozen=True)
class Here:
    """How Callboard is known outside: where browsers come back to, who it says that it is, where links lead.

    `document`: the URL of its client metadata document, empty where that cannot be reached by https.
    """

    redirect_uri: str
    document: str
    connect: str
    name: str = "Callboard"


def here(public_url: str) -> Here:
    """Callboard as it is known at its public URL. Its paths there are the edge's (`callboard_edge.web`)."""
    root = public_url.rstrip("/")
    document = f"{root}/oauth/client-metadata.json" if root.startswith("https://") else ""
    return Here(redirect_uri=f"{root}/oauth/callback", document=document, connect=f"{root}/connect")


@dataclass(frozen=True)
class SignInDependencies:
    """Made once, in `app.py`. `clock`: epoch seconds."""

    fetch: Fetch
    grants: Grants
    clients: Clients
    sign_ins: SignIns
    servers: Servers
    secrets: Secrets
    journal: Journal
    standings: Standings
    here: Here
    clock: Callable[[], float]
    chance: Chance
