"""Who is calling the management API, what they may do, and under which id their command runs.

Above: the handlers, which get a `Caller` and a `Stamp` injected. Below: `kernel.permissions`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import Request
from litestar.params import Parameter

from callboard.contracts.access import Principal
from callboard.contracts.problems import Problem
from callboard.kernel.names import is_slug, matches
from callboard.kernel.permissions import Action, can
from callboard.platform.event_store import new_id

Authenticate = Callable[[str | None], Awaitable[Principal]]
"""Turns the Authorization header into a principal, or raises `Problem` `auth.required` or `auth.invalid`."""

MAX_COMMAND_ID = 200


class Caller(msgspec.Struct, frozen=True):
    """A verified principal."""

    principal: Principal

    @property
    def actor(self) -> str:
        """Who the log names: the client and the id of its key, both from the token."""
        return f"{self.principal.client}/{self.principal.key_id}"

    @property
    def administers(self) -> bool:
        """Whether this is the administrator of the installation."""
        return can(self.principal, "administer")

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


def provide_caller(authenticate: Authenticate) -> Callable[..., Awaitable[Caller]]:
    """The dependency `caller` of every handler."""

    async def caller(request: Request[Any, Any, Any]) -> Caller:
        if b"\0" in unquote_to_bytes(request.scope["raw_path"] + b"?" + request.scope["query_string"]):
            raise Problem("argument.invalid", "a NUL character stands in the path or the query")
        return Caller(await authenticate(request.headers.get("authorization")))

    return caller


async def provide_stamp(
    idempotency_key: Annotated[str | None, Parameter(header="Idempotency-Key", required=False)] = None,
) -> Stamp:
    """The dependency `stamp` of every handler that changes something."""
    return Stamp(idempotency_key or "")
