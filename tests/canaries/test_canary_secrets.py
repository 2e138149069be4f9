"""Distinct secrets go through every way in; then all that the installation wrote down is searched for them."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest_asyncio

from tests.canaries.search import Place, archive, environment_of, files, forms, hits, streams, tables
from tests.journeys.test_sign_ins import Browser, call, listed, sign_ins, text_of
from tests.support.guarded import Guarded, guarded
from tests.support.oauth_clients import decided
from tests.support.persons import PASSWORD, Visitor, member
from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import command
from tests.support.waiting import eventually
from tests.webhooks.receiver import receiving

ORGANISATION = "canaries"
PROVIDER = "canary-provider-secret-Zk41qP"
INBOUND = "whsec_Y2FuYXJ5LWluYm91bmQtd2ViaG9vay1Wd3o5"
NOISY = "import os,sys; s=os.environ['K']; print(s); sys.stderr.write(s+'\\n'); sys.exit(3)"


class Canaries:
    """Name -> secret. `bodies`: what was answered to those who had no business knowing."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.bodies: list[bytes] = []

    def new(self, name: str) -> str:
        self.known[name] = f"canary-{name}-Xq7Lw2Rt9Bz"
        return self.known[name]

    def keep(self, name: str, secret: str) -> str:
        self.known[name] = secret
        return secret


class Api:
    def __init__(self, stack: Stack, canaries: Canaries) -> None:
        self._http = httpx2.AsyncClient(base_url=f"{stack.url}/api/v1", timeout=30)
        self._token = stack.admin_token
        self._canaries = canaries

    async def __call__(self, method: str, path: str, token: str = "", **more: Any) -> httpx2.Response:
        """As the administrator, unless there is a token; a path without a slash is within the organisation."""
        where = path if path.startswith("/") else f"/organisations/{ORGANISATION}/{path}"
        headers = {"Authorization": f"Bearer {token or self._token}", **more.pop("headers", {})}
        answer = await self._http.request(method, where, headers=headers, **more)
        if answer.status_code >= 400:
            self._canaries.bodies.append(answer.content + str(answer.headers).encode())
        return answer

    async def got(self, method: str, path: str, **more: Any) -> Any:
        answer = await self(method, path, **more)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def close(self) -> None:
        await self._http.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def installation(tmp_path_factory: Any) -> AsyncIterator[Stack]:
    """With logs as talkative as they can be, and an identity provider that is not there."""
    settings = {
        "CALLBOARD_LOG_LEVEL": "debug",
        "CALLBOARD_AUTHSVC_OIDC_ISSUER": "https://provider.invalid",
        "CALLBOARD_AUTHSVC_OIDC_CLIENT_ID": "callboard",
        "CALLBOARD_AUTHSVC_OIDC_CLIENT_SECRET": PROVIDER,
        "CALLBOARD_AUTHSVC_OIDC_REDIRECT_URL": "http://127.0.0.1/api/v1/session/external/callback",
        "CALLBOARD_AUTHSVC_OIDC_WEBHOOK_SECRET": INBOUND,
    }
    async with running_stack(tmp_path_factory.mktemp("canaries") / "data", settings=settings) as running:
        yield running


async def people_and_keys(api: Api, canaries: Canaries, stack: Stack) -> None:
    password, wrong = canaries.new("password"), canaries.new("wrong-password")
    invited = await api.got("POST", "invitations", json={"role": "owner"})
    token = canaries.keep("invitation", invited["token"])
    body = {"token": token, "email": "ann@example.com", "password": password, "name": "Ann"}
    opened = await api("POST", "/people", json=body)
    assert opened.status_code == 201, opened.text
    canaries.keep("session", opened.headers["set-cookie"].partition(";")[0].partition("=")[2])
    canaries.keep("csrf", opened.json()["csrf"])
    await api("POST", "/people", json=body)  # the link is used up
    await api("POST", "/session", json={"email": "ann@example.com", "password": wrong})
    again = await api("POST", "/session", json={"email": "ann@example.com", "password": password})
    canaries.keep("second-session", again.headers["set-cookie"].partition(";")[0].partition("=")[2])
    reset = await api.got("POST", "/password-resets", json={"email": "ann@example.com"})
    canaries.keep("reset", reset["token"])
    await api.got("POST", "service-accounts", json={"account": "ci", "role": "manager"})
    issued = await api.got("POST", "tokens", json={"client": "agent", "scopes": ["use", "read"]})
    canaries.keep("token", issued["token"])
    rotated = await api.got("POST", f"tokens/{issued['key_id']}/rotate", json={"overlap_seconds": 600})
    canaries.keep("rotated-token", rotated["token"])
    for spoilt in (issued["token"][:-1] + "x", canaries.new("no-token"), f"a.{canaries.new('jwt')}.c"):
        canaries.keep(f"spoilt-{spoilt[:9]}", spoilt)
        await api("GET", "/me", token=spoilt)
        await stack.rpc(stack.endpoint(ORGANISATION, "plain"), "tools/list", token=spoilt)
        await api("GET", f"/me?access_token={spoilt}", token=spoilt)
    # Bodies that are wrong in other places than the secret.
    await api("POST", "/session", json={"email": 7, "password": canaries.new("misplaced")})
    await api("PUT", "secrets/..", json={"value": canaries.new("misnamed")})
    await api("PUT", "secrets/s", json={"value": canaries.new("with-more"), "more": 1})
    await api("POST", "/session", content=b'{"password":"' + canaries.new("torn").encode() + b'"')


async def servers_and_calls(api: Api, canaries: Canaries, stack: Stack) -> None:
    for name in ("header", "env", "noisy"):
        await api.got("PUT", f"secrets/{name}", json={"value": canaries.new(f"vault-{name}")})
    echo = command("echo", "--stdio")
    body = {
        "version": 1,
        "organisation": ORGANISATION,
        "servers": {
            "echo": {"command": echo, "env": {"K": {"secret": "env"}}},
            "noisy": {"command": [sys.executable, "-c", NOISY], "env": {"K": {"secret": "noisy"}}},
            "away": {"url": "http://127.0.0.1:9/mcp", "headers": {"X-Key": {"secret": "header"}}},
        },
        "playbooks": {
            "plain": {"servers": {"echo": {"names": "bare"}, "noisy": {}, "away": {}}},
            "rec": {
                "servers": {"echo": {"names": "bare"}},
                "record": {"arguments": True, "results": True, "redact": ["/arguments/note"]},
            },
        },
    }
    await stack.apply(json.dumps(body))
    token = canaries.known["rotated-token"]

    async def ready() -> bool:
        answer = await stack.rpc(stack.endpoint(ORGANISATION, "rec"), "tools/list", token=token)
        return "echo" in answer.text

    await eventually(ready)
    unrecorded, note = canaries.new("argument"), canaries.new("redacted-argument")
    password = canaries.new("argument-password")
    for playbook, arguments in (
        ("plain", {"text": unrecorded}),
        ("plain", {"text": 7, "more": unrecorded}),
        ("rec", {"text": note, "note": note, "password": password}),
        ("rec", {"text": "planted-in-a-record"}),
    ):
        params = {"name": "echo", "arguments": arguments}
        answered = await stack.rpc(stack.endpoint(ORGANISATION, playbook), "tools/call", params, token)
        assert answered.status_code in (200, 400), answered.text


async def signed_in_upstream(api: Api, canaries: Canaries, stack: Stack, server: Guarded) -> None:
    """All that OAuth to an upstream has, and an upstream that says its secrets in errors."""
    await api.got("PUT", "secrets/client", json={"value": canaries.new("oauth-client-secret")})
    oauth = {"client_id": "callboard", "client_secret": {"secret": "client"}, "credentials": "shared"}
    body = {
        "version": 1,
        "organisation": ORGANISATION,
        "servers": {"wiki": {"url": server.url, "oauth": oauth}},
        "playbooks": {"p": {"servers": {"wiki": {"names": "bare"}}}},
    }
    await stack.apply(json.dumps(body))
    token = canaries.known["rotated-token"]
    person = await member(stack, ORGANISATION, "manager", "mia")
    canaries.keep("member-password", PASSWORD)
    canaries.keep("member-session", person.cookie.partition("=")[2])
    async with Browser(person) as operator:
        link = (await sign_ins(stack, ORGANISATION, "POST", stack.admin_token))["url"]
        canaries.keep("sign-in-link", link.rpartition("/")[2])
        await operator.sign_in(link)
        await listed(stack, ORGANISATION, token)
        access = text_of(await call(stack, ORGANISATION, token))
        server.forget_access()
        renewed = text_of(await call(stack, ORGANISATION, token))
        assert access != renewed
        # From here on it says everything that it knows. In a JSON-RPC error that is its answer, which goes to the
        # caller as it is and may not stay anywhere; a page is none, and goes nowhere.
        known = f"{access} {renewed} {canaries.known['oauth-client-secret']}"
        server.answers["/mcp"] = (500, {"error": known})
        await call(stack, ORGANISATION, token)
        server.answers["/mcp"] = (500, f"<p>{known}</p>".encode())
        canaries.bodies.append(json.dumps(await call(stack, ORGANISATION, token)).encode())
    seen = {*server.handed_out, *server.used, access, renewed, *server.refresh}
    seen |= {form[name] for form in server.forms for name in ("code_verifier",) if name in form}
    for number, secret in enumerate(sorted(each for each in seen if len(each) >= 8)):
        canaries.keep(f"oauth-{number}", secret)


async def clients_that_come_in_by_oauth(canaries: Canaries, stack: Stack) -> None:
    """Callboard as the authorization server: a client with a secret registers, asks, is let in, renews, and errs."""
    back, resource = "http://127.0.0.1:33418/cb", stack.endpoint(ORGANISATION, "plain")
    verifier, state = canaries.new("verifier") + "x" * 40, canaries.new("client-state")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    person = await member(stack, ORGANISATION, "user", "cal")
    async with httpx2.AsyncClient(base_url=stack.url, timeout=30) as http, Visitor() as visitor:
        wanted = {"redirect_uris": [back], "client_name": "C", "token_endpoint_auth_method": "client_secret_post"}
        client = (await http.post("/register", json=wanted)).json()
        canaries.keep("client-secret", client["client_secret"])
        proof = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
        asked = {
            **{"response_type": "code", "client_id": client["client_id"], "redirect_uri": back, "state": state},
            **{"code_challenge": challenge, "code_challenge_method": "S256", "resource": resource},
        }
        sent = await decided(visitor, person, f"{stack.url}/authorize?{urlencode(asked)}")
        code = canaries.keep("code", parse_qs(urlsplit(sent).query)["code"][0])
        spend = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "resource": resource}
        wrong = await http.post("/token", data={**spend, **proof, "code": code[:-1] + "_", "code_verifier": verifier})
        assert wrong.status_code == 400
        tokens = (await http.post("/token", data={**spend, **proof, "code_verifier": verifier})).json()
        canaries.keep("access-token", tokens["access_token"])
        renew = {"grant_type": "refresh_token", "refresh_token": canaries.keep("refresh", tokens["refresh_token"])}
        newer = (await http.post("/token", data={**renew, **proof, "resource": resource})).json()
        canaries.keep("newer-access-token", newer["access_token"])
        canaries.keep("newer-refresh", newer["refresh_token"])
        listed = await stack.rpc(resource, "tools/list", token=newer["access_token"])
        assert listed.status_code == 200, listed.text
        elsewhere = await stack.rpc(stack.endpoint(ORGANISATION, "rec"), "tools/list", token=newer["access_token"])
        assert elsewhere.status_code == 401
        again = await http.post("/token", data={**spend, **proof, "code_verifier": verifier})
        canaries.bodies += [wrong.content, again.content, elsewhere.content + str(elsewhere.headers).encode()]


async def webhooks(api: Api, canaries: Canaries) -> None:
    async with receiving() as receiver:
        made = await api.got("POST", "webhooks", json={"webhook": "w", "url": receiver.url, "kinds": ["project.*"]})
        canaries.keep("webhook", made["secret"].removeprefix("whsec_"))
        rotated = await api.got("POST", "webhooks/w/rotate", json={"overlap_seconds": 60})
        canaries.keep("rotated-webhook", rotated["secret"].removeprefix("whsec_"))
        await api.got("POST", "projects", json={"project": "planted", "title": "planted-in-an-event"})
        await eventually(lambda: len(receiver.came) == 1)
        canaries.bodies.append(receiver.came[0].body)
        receiver.answers.append("500 No")
        await api("POST", "webhooks/w/test")
    signed = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
    await api("POST", "/webhooks/identity", content=b"{}", headers=signed)
    await api(
        "GET", f"/session/external/callback?state={canaries.new('state')}&code={canaries.new('provider-code')}&iss=i"
    )


async def everything_written(stack: Stack, directory: Path, canaries: Canaries) -> list[Place]:
    environment = environment_of(stack, "projections")
    found: list[Place] = [("an answer", body) for body in canaries.bodies]
    for words in (("audit", "export"), ("events", "ls"), ("calls", "ls")):
        _, out, err = await stack.cli(*words, "--org", ORGANISATION, *(() if words[0] == "audit" else ("--json",)))
        found += [(" ".join(words), (out + err).encode())]
    _, out, _ = await stack.cli("playbook", "export", f"{ORGANISATION}/rec")
    found.append(("playbook export", out.encode()))
    backup = directory / "all.backup"
    await stack.cli("backup", str(backup))
    found += archive(backup)
    found += files(stack)
    found += await tables(environment["CALLBOARD_DATABASE_URL"])
    found += await streams(stack, environment["CALLBOARD_NATS_URL"])
    return found


async def test_no_secret_stands_anywhere_but_where_it_is_sealed(installation: Stack, tmp_path: Path) -> None:
    canaries = Canaries()
    canaries.keep("provider", PROVIDER)
    canaries.keep("inbound-webhook", INBOUND.removeprefix("whsec_"))
    api = Api(installation, canaries)
    await api.got("POST", "/organisations", json={"organisation": ORGANISATION})
    await people_and_keys(api, canaries, installation)
    await servers_and_calls(api, canaries, installation)
    async with guarded() as server:
        await signed_in_upstream(api, canaries, installation, server)
    await clients_that_come_in_by_oauth(canaries, installation)
    await webhooks(api, canaries)
    await api.close()

    async def recorded() -> bool:
        return len((await installation.cli_json("calls", "ls", "--org", ORGANISATION))["calls"]) >= 6

    await eventually(recorded)
    places = await everything_written(installation, tmp_path, canaries)
    assert len(canaries.known) > 35
    found = hits(places, canaries.known)
    assert not found, found

    # What is known to be there is found there, so the search does look.
    planted = {"event": "planted-in-an-event", "record": "planted-in-a-record", "log": "upstream_"}
    seen = {name: {place for each, place in hits(places, planted) if each == name} for name in planted}
    wanted = {"table cb.event", "stream CB_EVENTS", "events ls", "audit export", "a backup", "an answer"}
    assert wanted <= seen["event"]
    assert "stream CB_CALLS" in seen["record"]
    assert any(place.startswith("table cb.") for place in seen["record"])
    assert "logs" in seen["log"]


def test_a_secret_is_found_in_every_form_it_may_have() -> None:
    secret = "canary/with+signs=0123456789"
    for form in forms(secret):
        assert hits([("place", b"before " + form + b" behind")], {"name": secret}) == [("name", "place")]
    for prefix in ("", "a", "ab"):
        packed = base64.b64encode(f"{prefix}{secret}and more".encode())
        assert hits([("place", packed)], {"name": secret})
        assert hits([("place", base64.urlsafe_b64encode(f"{prefix}{secret}and more".encode()))], {"name": secret})
    assert hits([("place", b"canary/with")], {"name": secret}) == []
