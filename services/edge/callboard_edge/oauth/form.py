"""The parameters of a request, each at most once (RFC 6749 section 3.2), and how its client shows who it is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request

from callboard.contracts.oauth_server import ClientProof
from callboard.contracts.problems import Problem

FORM: Final = "application/x-www-form-urlencoded"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_PARAMETERS: Final = 100


def refused(error: str, description: str) -> Problem:
    """A refusal of the protocol that needs nobody else."""
    return Problem("oauth.refused", description, error=error)


async def form_of(request: Request) -> dict[str, str]:
    """The parameters of a POST; raises `oauth.refused` for any other body."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise refused("invalid_request", f"send the parameters as {FORM}")
    try:
        return once(parse_qsl((await request.body()).decode("ascii"), max_num_fields=_MAX_PARAMETERS))
    except ValueError:
        raise refused("invalid_request", "the parameters cannot be read") from None


def once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The parameters by name; raises `oauth.refused` when one comes twice, and drops those without a value."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            error = "invalid_target" if name == "resource" else "invalid_request"
            raise refused(error, f"{name[:40]}: give it once")
        if "\0" in value:
            raise refused("invalid_request", f"{name[:40]}: holds a NUL character")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def needed(form: Mapping[str, str], name: str) -> str:
    """The value of a parameter that has to be there."""
    if name not in form:
        raise refused("invalid_request", f"{name}: give it")
    return form[name]


def scopes_in(form: Mapping[str, str]) -> tuple[str, ...]:
    """The scopes that are named."""
    return tuple(form.get("scope", "").split())


def proof_of(request: Request, form: Mapping[str, str]) -> ClientProof:
    """Header, body or assertion: one of them (RFC 6749 section 2.3); raises `oauth.refused`, `invalid_client`."""
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    address = request.client.host if request.client is not None else ""
    if (header := request.headers.get("authorization")) is not None:
        named, shown = _basic(header)
        if (client_id and client_id != named) or secret or "client_assertion" in form:
            raise refused("invalid_request", "the client shows who it is in two ways")
        return ClientProof(client_id=named, secret=shown, address=address)
    if "client_assertion" in form:
        if form.get("client_assertion_type") != _ASSERTION or secret:
            raise refused("invalid_request", f"client_assertion_type: send {_ASSERTION}, and no secret")
        return ClientProof(client_id=client_id, assertion=form["client_assertion"], address=address)
    return ClientProof(client_id=client_id, secret=secret, address=address)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, text = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        named, colon, shown = base64.b64decode(text.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError
    except (ValueError, binascii.Error):
        raise refused("invalid_client", "the Authorization header is not `Basic <credentials>`") from None
    return unquote_plus(named), unquote_plus(shown)
