"""Who is calling the management API, what they may do, and under which id their command runs.

Above: the handlers, which get a `Caller` and a `Stamp` injected. Below: `kernel.permissions`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import Request
from litestar.params import Parameter

from callboard.contracts.access import EVERY_ORGANISATION, Principal
from callboard.contracts.people import SignedIn
from callboard.contracts.problems import Problem
from callboard.kernel.names import is_slug, matches
from callboard.kernel.permissions import Action, can
from callboard.platform.event_store import new_id
from callboard_edge.auth.logins import COOKIE, Logins, jwt_of, require_csrf
from callboard_edge.auth.refusals import Refusals
from callboard_edge.auth.verify import Tokens

MAX_COMMAND_ID = 200


@dataclass(frozen=True)
class Gatekeeper:
    """The ways in which a request can say whose it is."""

    tokens: Tokens
    logins: Logins
    refusals: Refusals


class Caller(msgspec.Struct, frozen=True):
    """A verified principal. `signed_in` is there when a browser session says who it is, and no token."""

    principal: Principal
    signed_in: SignedIn | None = None

    @property
    def actor(self) -> str:
        """Who the log names: the client and the id of its key, both from the token."""
        return f"{self.principal.client}/{self.principal.key_id}"

    @property
    def administers(self) -> bool:
        """Whether this is the administrator of the installation."""
        return can(self.principal, "administer")

    @property
    def by(self) -> str:
        """The key for which authsvc looks up what may be done at this moment."""
        return self.principal.key_id

    def organisations(self, action: Action) -> frozenset[str]:
        """The organisations, other than by administration, in which the caller may do this."""
        held = self.principal.grants
        names = {self.principal.organisation} if held is None else set(held)
        return frozenset(n for n in names - {"", EVERY_ORGANISATION} if can(self.principal, action, n))

    def require(self, action: Action, organisation: str, playbook: str | None = None) -> None:
        """Refuse with `auth.forbidden` unless the caller may do this.

        Without a playbook the action concerns the organisation as a whole, which a token that is limited to
        some playbooks may not do: it could otherwise issue itself a token without the limit.
        """
        if not is_slug(organisation):
            raise Problem("organisation.unknown", f"there is no organisation {organisation!r}")
        allowed = can(self.principal, action, organisation, playbook or "")
        if playbook is None and self.principal.playbooks:
            allowed = False
        if not allowed:
            where = f"{organisation}/{playbook}" if playbook else organisation
            raise Problem("auth.forbidden", f"the token does not allow `{action}` on {where}")

    def require_administrator(self) -> None:
        """Refuse everybody but the administrator of the installation."""
        if not self.administers:
            raise Problem("auth.forbidden", "only an administrator of the installation may do this")

    def sees(self, playbook: str) -> bool:
        """Whether a token that is limited to some playbooks reaches this one."""
        limits = self.principal.playbooks
        return not limits or any(matches(pattern, playbook) for pattern in limits)


class Stamp(msgspec.Struct, frozen=True):
    """The id a command runs under: the `Idempotency-Key` header, else the body's, else a new one."""

    key: str = ""

    def command_id(self, in_body: str | None = None) -> str:
        """The command id; a retry with the same one changes nothing a second time."""
        chosen = self.key or in_body or new_id()
        if len(chosen) > MAX_COMMAND_ID:
            raise Problem("argument.invalid", f"a command id has at most {MAX_COMMAND_ID} characters")
        return chosen


def provide_caller(gatekeeper: Gatekeeper) -> Callable[..., Awaitable[Caller]]:
    """The dependency `caller` of every handler. A token wins over a cookie."""

    async def caller(request: Request[Any, Any, Any]) -> Caller:
        if b"\0" in unquote_to_bytes(request.scope["raw_path"] + b"?" + request.scope["query_string"]):
            raise Problem("argument.invalid", "a NUL character stands in the path or the query")
        authorization = request.headers.get("authorization")
        try:
            return await authenticated(request, authorization)
        except Problem as problem:
            address = request.client.host if request.client is not None else ""
            organisation = str(request.path_params.get("organisation", ""))
            gatekeeper.refusals.note("api", problem, organisation, authorization, address)
            raise

    async def authenticated(request: Request[Any, Any, Any], authorization: str | None) -> Caller:
        if (vouched := jwt_of(authorization)) is not None:
            return Caller(await gatekeeper.logins.vouched(vouched))
        if authorization is not None or COOKIE not in request.cookies:
            return Caller(await gatekeeper.tokens.authenticate(authorization))
        signed_in = await gatekeeper.logins.signed_in(request.cookies)
        require_csrf(request.method, request.headers, signed_in)
        return Caller(signed_in.principal, signed_in)

    return caller


async def provide_stamp(
    idempotency_key: Annotated[str | None, Parameter(header="Idempotency-Key", required=False)] = None,
) -> Stamp:
    """The dependency `stamp` of every handler that changes something."""
    return Stamp(idempotency_key or "")
