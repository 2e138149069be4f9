"""Ask an authorization server for tokens, as the client that it knows. The only place that sends a client's secret."""

from __future__ import annotations

import base64
from urllib.parse import quote, urlencode

import jwt

from callboard.platform.egress import EgressRefused, FetchFailed
from callboard_authsvc.upstream_oauth.domain import Client, Tokens, failed, tokens_of
from callboard_authsvc.upstream_oauth.ports import SignInDependencies

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 120
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Unreachable(Exception):
    """It is not known what became of the request."""


async def tokens_from(
    endpoint: str,
    client: Client,
    form: dict[str, str],
    use: SignInDependencies,
    *,
    audience: str = "",
    algorithm: str = "ES256",
    kind: str = "bearer",
) -> Tokens:
    """The answer to a token request. Raises `TokenRefused`, `Unreachable`, `Problem("server.sign_in_failed")`.

    `audience`: the issuer, whom an assertion of the client is for (RFC 7523 as revised: never the endpoint).
    """
    headers, body = dict(_FORM), dict(form)
    match client.method:
        case "client_secret_basic":
            pair = f"{quote(client.client_id, safe='')}:{quote(client.secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        case "client_secret_post":
            body |= {"client_id": client.client_id, "client_secret": client.secret}
        case "private_key_jwt":
            assertion = _assertion(client, audience, algorithm, use)
            body |= {"client_id": client.client_id, "client_assertion_type": _ASSERTION_TYPE}
            body["client_assertion"] = assertion
        case "none":
            body |= {"client_id": client.client_id} if client.client_id else {}
    try:
        answer = await use.fetch("POST", endpoint, headers, urlencode(body).encode())
    except EgressRefused as refused:
        raise failed(f"its token endpoint: {refused}") from None
    except FetchFailed as lost:
        raise Unreachable(str(lost)) from None
    return tokens_of(answer.status, answer.body, kind)


def _assertion(client: Client, audience: str, algorithm: str, use: SignInDependencies) -> str:
    now = int(use.clock())
    claims = {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": audience,
        "iat": now,
        "exp": now + _ASSERTION_SECONDS,
        "jti": use.chance(16).hex(),
    }
    try:
        return jwt.encode(claims, client.secret, algorithm=algorithm)
    except (ValueError, TypeError, NotImplementedError, jwt.PyJWTError):
        raise failed("its private key in the vault does not fit the signing algorithm") from None
