"""Persons and their browsers: one that is played over HTTP, with a browser's cookies and forms and without scripts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from tests.support.stack import Stack

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person:
    """A member of an organisation, with a session of the API."""

    email: str
    id: str
    cookie: str
    csrf: str

    async def token(self, stack: Stack, organisation: str, client: str = "", *scopes: str) -> str:
        """A token that this person issues, under its own name unless another is given."""
        headers = {"Cookie": self.cookie, "X-CSRF-Token": self.csrf}
        body = {"client": client or self.id, "scopes": scopes or ("use",)}
        async with httpx2.AsyncClient(timeout=30) as http:
            url = f"{stack.url}/api/v1/organisations/{organisation}/tokens"
            issued = await http.post(url, json=body, headers=headers)
        assert issued.status_code in (200, 201), issued.text
        return str(issued.json()["token"])


async def member(stack: Stack, organisation: str, role: str = "user", name: str = "ann") -> Person:
    """A new person who has accepted an invitation."""
    async with httpx2.AsyncClient(base_url=f"{stack.url}/api/v1", timeout=30, transport=_from_somewhere()) as http:
        admin = {"Authorization": f"Bearer {stack.admin_token}"}
        url = f"/organisations/{organisation}/invitations"
        invited = await http.post(url, json={"role": role}, headers=admin)
        assert invited.status_code == 201, invited.text
        email = f"{name}-{os.urandom(4).hex()}@example.com"
        body = {"token": invited.json()["token"], "email": email, "password": PASSWORD, "name": name}
        joined = await http.post("/people", json=body)
    assert joined.status_code == 201, joined.text
    me = joined.json()
    return Person(email, me["person"]["person"], joined.headers["set-cookie"].partition(";")[0], me["csrf"])


def _from_somewhere() -> httpx2.AsyncHTTPTransport:
    """From an address of its own on loopback, so that tests do not use up each other's attempts to sign in."""
    return httpx2.AsyncHTTPTransport(local_address=f"127.{os.urandom(1)[0] or 1}.{os.urandom(1)[0]}.7")


class Form(HTMLParser):
    """The first form of a page whose action has this text: where it goes, and its fields."""

    def __init__(self, text: str, action: str = "") -> None:
        super().__init__()
        self._wanted = action
        self._inside = False
        self.found = False
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.found and self._wanted in given.get("action", ""):
            self._inside = self.found = True
            self.action = given.get("action", "")
        elif tag == "input" and self._inside and given.get("name"):
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


class Visitor(httpx2.AsyncClient):
    """Goes where it is sent one step at a time. Loopback counts as a safe place for cookies, as in browsers."""

    def __init__(self) -> None:
        policy = DefaultCookiePolicy(secure_protocols=("http", "https"))
        super().__init__(timeout=30, cookies=CookieJar(policy), transport=_from_somewhere())

    async def submit(self, page: httpx2.Response, action: str = "", **fields: str) -> httpx2.Response:
        """Send the form of a page, as a browser does from that page."""
        form = Form(page.text, action)
        assert form.found, page.text
        url = urljoin(str(page.url), form.action)
        return await self.post(url, data={**form.fields, **fields}, headers=self.from_own_page(url))

    @staticmethod
    def from_own_page(url: str) -> dict[str, Any]:
        """What a browser sends along with the form of a page on the same origin."""
        parts = urlsplit(url)
        return {"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}

    async def log_in(self, page: httpx2.Response, person: Person, password: str = PASSWORD) -> httpx2.Response:
        """From a page of ours, perhaps one that leads to the login, to the page that one wanted to see."""
        if page.status_code == 303:
            page = await self.get(urljoin(str(page.url), page.headers["location"]))
        answer = await self.submit(page, "/login", email=person.email, password=password)
        assert answer.status_code == 303, answer.text
        return await self.get(urljoin(str(page.url), answer.headers["location"]))
