"""`/token`, `/revoke` and `/introspect`. Not on the SDK's handlers: those check a code and a secret where they run,
which would take both over the bus, and know neither client credentials nor signed assertions. authsvc decides in one
step, where the code is spent.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.oauth_server import (
    ExchangeAssertion,
    ExchangeCode,
    Introspect,
    Introspection,
    IssuedTokens,
    RefreshTokens,
    RevokePresented,
    UseCredentials,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.auth.verify import Tokens
from callboard_edge.oauth.endpoint import answer, refusal
from callboard_edge.oauth.form import form_of, needed, proof_of, refused, scopes_in
from callboard_edge.oauth.metadata import JWT_BEARER

_WITHIN = 25.0  # an identity provider, or a client's own server, may be asked for keys
Message = ExchangeCode | RefreshTokens | UseCredentials | ExchangeAssertion


class TokenEndpoints:
    """The handlers, and what they share."""

    def __init__(self, bus: Bus, tokens: Tokens, public_url: str) -> None:
        self._bus = bus
        self._tokens = tokens
        self._issuer = public_url.rstrip("/")

    async def token(self, request: Request) -> Response:
        """Tokens for a code, a refresh token, credentials or an assertion (RFC 6749 section 5)."""
        subject, message = _asked(request, await form_of(request))
        made = await self._bus.ask(subject, message, IssuedTokens, _WITHIN)
        document: dict[str, Any] = {
            "access_token": made.access_token,
            "token_type": "Bearer",
            "expires_in": made.expires_in,
            "scope": " ".join(made.scopes),
        }
        if made.refresh_token:
            document["refresh_token"] = made.refresh_token
        return answer(document)

    async def revoke(self, request: Request) -> Response:
        """RFC 7009: the same answer whether there was such a token or not."""
        form = await form_of(request)
        command = RevokePresented(proof=proof_of(request, form), token=needed(form, "token"))
        await self._bus.ask(subjects.REVOKE, command, Done, _WITHIN)
        return answer({})

    async def introspect(self, request: Request) -> Response:
        """RFC 7662, for who manages tokens of the organisation and shows a token of its own."""
        try:
            caller = await self._tokens.authenticate(request.headers.get("authorization"))
        except Problem as problem:
            if problem.http_status != 401:
                raise
            return refusal("invalid_token", problem.message, 401, **{"WWW-Authenticate": "Bearer"})
        question = Introspect(token=needed(await form_of(request), "token"), by=caller.key_id)
        found = await self._bus.ask(subjects.INTROSPECT, question, Introspection)
        return answer(self._introspected(found))

    def _introspected(self, found: Introspection) -> dict[str, Any]:
        if not found.active:
            return {"active": False}
        document: dict[str, Any] = {
            "active": True,
            "iss": self._issuer,
            "client_id": found.client_id,
            "sub": found.subject,
            "aud": found.audience,
            "scope": " ".join(found.scopes),
            "org": found.organisation,
            "gid": found.grant,
        }
        if found.expires_at:
            document |= {"exp": found.expires_at, "iat": found.issued_at, "token_type": "Bearer"}
        return document


def _asked(request: Request, form: dict[str, str]) -> tuple[str, Message]:
    """Which question a token request is; raises `oauth.refused`."""
    grant_type, proof = needed(form, "grant_type"), proof_of(request, form)
    resource, scopes = form.get("resource", ""), scopes_in(form)
    match grant_type:
        case "authorization_code":
            code, verifier = needed(form, "code"), needed(form, "code_verifier")
            back = form.get("redirect_uri", "")
            return subjects.EXCHANGE_CODE, ExchangeCode(
                proof=proof, code=code, verifier=verifier, redirect_uri=back, resource=resource
            )
        case "refresh_token":
            presented = needed(form, "refresh_token")
            return subjects.REFRESH, RefreshTokens(
                proof=proof, refresh_token=presented, scopes=scopes, resource=resource
            )
        case "client_credentials":
            return subjects.CLIENT_CREDENTIALS, UseCredentials(proof=proof, scopes=scopes, resource=resource)
        case _ if grant_type == JWT_BEARER:
            assertion = needed(form, "assertion")
            return subjects.EXCHANGE_ASSERTION, ExchangeAssertion(
                proof=proof, assertion=assertion, scopes=scopes, resource=resource
            )
        case _:
            raise refused("unsupported_grant_type", "the metadata of this server name the grant types there are")
