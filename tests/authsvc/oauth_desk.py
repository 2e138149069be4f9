"""An MCP client at the authorization server: over HTTP, through the edge's own routes, to a real authsvc."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from litestar import Litestar

from callboard.contracts import oauth_subjects as subjects
from callboard.contracts.access import Principal
from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition
from callboard.contracts.events import EventMeta, PlaybookPublished
from callboard.contracts.oauth_server import AskConsent, Consent, ConsentDecided, GiveConsent, RefuseConsent
from callboard.contracts.people import SessionOpened
from callboard.contracts.playbooks import Done
from callboard.contracts.signing import VerifyGrant
from callboard.contracts.signing_subjects import VERIFY_GRANT
from callboard.platform.event_store import EventStore, Write
from callboard_edge.auth.access_tokens import AccessTokens
from callboard_edge.auth.signing_keys import SigningKeySet
from callboard_edge.auth.verify import Tokens
from callboard_edge.oauth.routes import oauth_routes
from tests.authsvc.people import Office, key_of, office_with_clock
from tests.authsvc.stack import Stack

PUBLIC = "http://127.0.0.1:8700"
RESOURCE = f"{PUBLIC}/p/acme/start/mcp"
BACK = "http://localhost:4711/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
METADATA = {"client_name": "Agent", "redirect_uris": ["http://localhost/callback"]}


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: httpx2.Headers
    body: Any

    @property
    def error(self) -> str:
        return str(self.body.get("error", ""))


class Desk:
    """The endpoints, and the person who is asked."""

    def __init__(self, stack: Stack, office: Office, address: str = "192.0.2.7") -> None:
        self.stack = stack
        self.office = office
        self.bus = office.bus
        keys = SigningKeySet(self.bus)
        self.tokens = Tokens(self.bus, AccessTokens(self.bus, keys, PUBLIC), 15, 60)
        app = Litestar([*oauth_routes(self.bus, self.tokens, PUBLIC)], openapi_config=None, logging_config=None)
        transport = httpx2.ASGITransport(app, client=(address, 1))  # type: ignore[arg-type]
        self.http = httpx2.AsyncClient(transport=transport, base_url=PUBLIC)

    async def send(self, method: str, path: str, **rest: Any) -> Answer:
        response = await self.http.request(method, path, **rest)
        if response.status_code in (204, 302):
            return Answer(response.status_code, response.headers, {})
        assert response.headers["content-type"] == "application/json", response.text
        return Answer(response.status_code, response.headers, response.json())

    async def register(self, **changes: Any) -> str:
        answer = await self.send("POST", "/register", json=METADATA | changes)
        assert answer.status == 201, answer.body
        return str(answer.body["client_id"])

    async def ask(self, client_id: str, **changes: Any) -> Answer:
        """An authorization request."""
        usual = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": BACK,
            "state": "s 1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": RESOURCE,
        }
        query = {name: value for name, value in (usual | changes).items() if value is not None}
        return await self.send("GET", "/authorize", params=query)

    async def request(self, client_id: str, **changes: Any) -> str:
        """The id of a request that waits for a person."""
        answer = await self.ask(client_id, **changes)
        location = answer.headers["location"]
        assert answer.status == 302, answer.body
        assert location.startswith(f"{PUBLIC}/consent/"), location
        return location.rpartition("/")[2]

    async def consent(self, request: str, person: SessionOpened) -> Consent:
        return await self.bus.ask(subjects.CONSENT, AskConsent(request=request, by=key_of(person)), Consent)

    async def agree(self, request: str, person: SessionOpened, organisation: str = "") -> str:
        command = GiveConsent(request=request, by=key_of(person), organisation=organisation)
        return (await self.bus.ask(subjects.GIVE_CONSENT, command, ConsentDecided)).url

    async def refuse(self, request: str, person: SessionOpened) -> str:
        command = RefuseConsent(request=request, by=key_of(person))
        return (await self.bus.ask(subjects.REFUSE_CONSENT, command, ConsentDecided)).url

    async def code(self, client_id: str, person: SessionOpened, **changes: Any) -> str:
        request = await self.request(client_id, **changes)
        await self.consent(request, person)
        return query_of(await self.agree(request, person))["code"]

    async def token(self, **form: Any) -> Answer:
        headers = form.pop("headers", {})
        return await self.send("POST", "/token", data=form, headers=headers)

    async def exchange(self, client_id: str, code: str, **changes: Any) -> Answer:
        usual = {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
        }
        return await self.token(**{name: value for name, value in (usual | changes).items() if value is not None})

    async def refresh(self, client_id: str, refresh_token: str, **changes: Any) -> Answer:
        usual = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
        return await self.token(**(usual | changes))

    async def signed_in(self, person: SessionOpened, **changes: Any) -> tuple[str, dict[str, Any]]:
        """A client that went all the way: its id, and its tokens."""
        client_id = await self.register()
        answer = await self.exchange(client_id, await self.code(client_id, person, **changes))
        assert answer.status == 200, answer.body
        return client_id, answer.body

    async def live(self, access_token: str) -> Principal:
        """What an edge asks for after the signature."""
        claims = claims_of(access_token)
        question = VerifyGrant(
            grant=claims["gid"],
            client_id=claims["client_id"],
            subject=claims["sub"],
            organisation=claims["org"],
            resource=claims["aud"],
        )
        return await self.bus.ask(VERIFY_GRANT, question, Principal)

    async def events(self, kind: str) -> list[dict[str, Any]]:
        rows = await self.stack.rows("select payload from cb.event where type = $1 order by seq", kind)
        return [json.loads(row["payload"]) for row in rows]


async def publish(stack: Stack, organisation: str, playbook: str) -> None:
    """A playbook in the log, as the router writes it."""

    async def nobody(organisation: str, seq: int) -> None:
        """Nobody waits for it."""

    content = PlaybookContent(definition=PlaybookDefinition(), tools={})
    event = PlaybookPublished(playbook=playbook, version=1, content=content, content_digest="sha256:0")
    store = EventStore(await stack.pool(), nobody)
    writes = [Write(f"playbook-{playbook}", (event,), 0)]
    await store.append(organisation, str(uuid.uuid4()), Done(seq=0), EventMeta(actor="test"), writes)


def query_of(url: str) -> dict[str, str]:
    """The parameters of a redirect, each of them once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values()), url
    return {name: values[0] for name, values in found.items()}


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says."""
    text = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return claims


async def desk_of(stack: Stack, clock: Any, **settings: Any) -> Desk:
    """The organisation `acme` with a playbook `start`, on an authsvc whose time is the test's."""
    office = await office_with_clock(stack, clock, public_url=PUBLIC, **settings)
    await publish(stack, "acme", "start")
    return Desk(stack, office)
