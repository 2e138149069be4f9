"""Names in the answers of the management API: opened on their way out, whole or in pieces."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from callboard.contracts.personal import OpenedPersonal, OpenPersonal
from callboard.contracts.problems import Problem
from callboard.kernel.personal import join, person_id
from callboard.platform.bus import Bus
from callboard_edge.api.names import Names, Opening

ANN = person_id(bytes(10))
SEALED = join(ANN, bytes(16))
BODY = f'{{"actor":"{SEALED}/k"}}'.encode()


class Authsvc:
    """Answers as authsvc does, and counts; away when it is told to be."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def ask(self, subject: str, question: OpenPersonal, answer: type[OpenedPersonal]) -> OpenedPersonal:
        if self.away:
            raise Problem("bus.unavailable", "away")
        self.asked += 1
        return OpenedPersonal(opened={sealed: f"{question.organisation}'s Ann" for sealed in question.sealed})


async def through(names: Names, *messages: dict[str, Any], as_stored: bool = False, **params: str) -> list[Any]:
    """What goes out when a route of these path parameters answers so."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async def send(message: Any) -> None:
        sent.append(message)

    handler = SimpleNamespace(opt={"as_stored": as_stored})
    scope = cast("Any", {"path_params": params, "route_handler": handler})
    await Opening(cast("Any", app), names)(scope, cast("Any", None), send)
    return sent


def start(length: int | None = None) -> dict[str, Any]:
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y"), *headers]}


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_an_answer_has_the_name_and_its_length() -> None:
    named = b'{"actor":"acme\'s Ann/k"}'
    [head, sent] = await through(Names(cast("Bus", Authsvc())), start(len(BODY)), body(BODY), organisation="acme")
    assert sent["body"] == named
    assert head["headers"] == [(b"x", b"y"), (b"content-length", str(len(named)).encode())]


async def test_a_stream_is_opened_piece_by_piece_and_asked_for_once() -> None:
    authsvc = Authsvc()
    names = Names(cast("Bus", authsvc))
    pieces = [body(b": hello\n\n", True), body(b"data: " + BODY + b"\n\n", True), body(BODY)]
    sent = await through(names, start(), *pieces, organisation="acme")
    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * 3
    assert all(b"acme's Ann/k" in message["body"] for message in sent[2:])
    assert authsvc.asked == 1
    names.forget()
    await names.opened("acme", BODY)
    assert authsvc.asked == 2, "after an erasure nothing that was known before is shown"
    assert await names.opened("beta", BODY) != await names.opened("acme", BODY)


async def test_what_somebody_verifies_elsewhere_stays_as_it_is_stored() -> None:
    names = Names(cast("Bus", Authsvc()))
    for messages in (
        await through(names, start(5), body(BODY), as_stored=True, organisation="acme"),
        await through(names, start(5), body(BODY)),
    ):
        assert messages == [start(5), body(BODY)]


async def test_while_authsvc_is_away_persons_are_shown_by_their_ids() -> None:
    authsvc = Authsvc()
    authsvc.away = True
    assert await Names(cast("Bus", authsvc)).opened("acme", BODY) == f'{{"actor":"{ANN}/k"}}'.encode()
