"""The part of the client that needs no token: a person signs in, and gets a key of its own."""

from __future__ import annotations

import uuid
from typing import Final

import httpx2
import msgspec

from callboard.client.routes import API, Answer, Routes, organisation_path
from callboard.client.transport import decoded
from callboard.contracts.access import TokenIssued
from callboard.contracts.management import NewToken
from callboard.contracts.people import Joined
from callboard.contracts.people_management import Credentials, InvitationLink, Me, Registration
from callboard.contracts.playbooks import Done
from callboard.kernel.permissions import ROLES

_COOKIE: Final = "__Host-callboard"


class Login(Routes):
    """A session at `url`, from `sign_in` or `register` to `sign_out`, which leaving a `with` does too.

    Every method raises `Problem` when refused and `Unreachable` when nobody answers.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._session: dict[str, str] = {}

    def sign_in(self, email: str, password: str) -> Me:
        """Open a session with a password."""
        body = Credentials(email=email, password=password)
        return self._opened(self._transport.answer("POST", f"{API}/session", body))

    def register(self, invitation: str, email: str, password: str, name: str) -> Me:
        """Become a person by an invitation."""
        body = Registration(token=invitation, email=email, password=password, name=name)
        return self._opened(self._transport.answer("POST", f"{API}/people", body, headers=_once()))

    def accept(self, invitation: str) -> Joined:
        """Join by an invitation."""
        return self._send("POST", "/invitations/accept", Joined, InvitationLink(token=invitation))

    def me(self) -> Me:
        """Who is signed in, and what that one may do now."""
        return self._send("GET", "/me", Me)

    def issue_key(self, me: Me, organisation: str, expires_in_seconds: int | None) -> TokenIssued:
        """A token that allows what the person may do there."""
        role, *permissions = me.organisations[organisation]
        body = NewToken(client=me.client, scopes=(ROLES[role], *permissions), expires_in_seconds=expires_in_seconds)
        return self._send("POST", f"{organisation_path(organisation)}/tokens", TokenIssued, body)

    def close(self) -> None:
        """Sign out, and close the connections."""
        if self._session:
            self._send("DELETE", "/session", Done)
            self._session = {}
        super().close()

    def _send(self, method: str, path: str, answer: type[Answer], body: msgspec.Struct | None = None) -> Answer:
        headers = {**self._session, **_once()}
        return decoded(self._transport.answer(method, API + path, body, headers=headers), answer)

    def _opened(self, response: httpx2.Response) -> Me:
        me = decoded(response, Me)
        # By hand: the cookie is for https, and this may be http on one's own machine.
        value = response.headers["set-cookie"].partition(";")[0].removeprefix(f"{_COOKIE}=")
        self._session = {"Cookie": f"{_COOKIE}={value}", "X-CSRF-Token": me.csrf}
        return me


def _once() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}
