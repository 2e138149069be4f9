"""The browser came back: see that it is the same one, that the right server answers, and take the tokens."""

from __future__ import annotations

import hmac

import msgspec

from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import FinishSignIn, SignInFinished
from callboard_authsvc.upstream_oauth.begin import UNKNOWN, definition_of
from callboard_authsvc.upstream_oauth.domain import (
    Flow,
    Grant,
    TokenRefused,
    check_answer,
    failed,
    granted,
)
from callboard_authsvc.upstream_oauth.ports import SignInDependencies
from callboard_authsvc.upstream_oauth.standing import require_standing
from callboard_authsvc.upstream_oauth.token_endpoint import Unreachable, tokens_from


async def finish_sign_in(answer: FinishSignIn, use: SignInDependencies) -> SignInFinished:
    """A state works once, whatever comes with it.

    Raises `sign_in.unknown`, `auth.forbidden`, `server.sign_in_failed`.
    """
    flow = await use.sign_ins.take(answer.state)
    if flow is None:
        raise Problem("sign_in.unknown", UNKNOWN)
    check_same_browser(flow, answer)
    await require_standing(flow.whose, flow.person, use.standings)
    check_answer(flow.found.server, answer.iss)
    if answer.error is not None or not answer.code:
        raise failed("its authorization server did not grant it")
    grant = await _exchanged(flow, answer.code, use)
    await use.journal.signed_in(flow.whose, grant, flow.person)
    return SignInFinished(organisation=flow.whose.organisation, server=flow.whose.server, subject=flow.whose.subject)


def check_same_browser(flow: Flow, answer: FinishSignIn) -> None:
    """Whoever agreed must be the one who comes back: the same browser, and the same person signed in to Callboard."""
    same_person = hmac.compare_digest(flow.person.encode(), answer.person.encode())
    if not flow.browser or not hmac.compare_digest(flow.browser.encode(), answer.browser.encode()) or not same_person:
        raise Problem("sign_in.unknown", "this sign-in was begun in another browser, or by somebody else")


async def _exchanged(flow: Flow, code: str, use: SignInDependencies) -> Grant:
    _, oauth = await definition_of(flow.whose, use)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": flow.redirect_uri,
        "code_verifier": flow.verifier,
    }
    if not oauth.omit_resource:
        form["resource"] = flow.found.resource
    server, client = flow.found.server, flow.client
    try:
        tokens = await tokens_from(
            server.token_endpoint,
            client,
            form,
            use,
            audience=server.issuer,
            algorithm=oauth.signing_algorithm,
        )
    except TokenRefused as refused:
        if refused.code == "invalid_client" and client.origin == "registered":
            await use.clients.drop(flow.whose.organisation, server.issuer, client.client_id)
        raise failed(f"its authorization server gave no token ({refused.code or refused.status})") from None
    except Unreachable as lost:
        raise failed(f"its token endpoint {lost}") from None
    # What an operator gave is read from the vault when it is needed: there it can be replaced.
    kept = msgspec.structs.replace(client, secret="") if client.origin == "given" else client
    before = Grant(access_token="", requested=flow.scope, scope=flow.scope, url=flow.url, found=flow.found, client=kept)
    return granted(tokens, use.clock(), before)
