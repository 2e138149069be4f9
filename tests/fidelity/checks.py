"""One example through every route of a leg, compared with what the upstream says directly."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

from tests.fidelity import rewrites
from tests.fidelity.clients import Answer, Client, Http
from tests.fidelity.exact import difference, member, members, text_of
from tests.fidelity.json_texts import spelled_object
from tests.fidelity.rig import Leg, Route, meta
from tests.fidelity.strategies import Example, Request, answer
from tests.support.upstreams.scripted import PARAMS, TOKEN, Script

Change = Callable[[Answer], Answer]
"""What a relay does to an answer on its way; a broken one must not go unnoticed."""
NAMED = {"tools/call": "name", "prompts/get": "name"}


class Unfaithful(AssertionError):
    """The gateway said something else than the upstream."""


def _same(what: str, wanted: bytes, got: bytes) -> None:
    if wanted != got:
        raise Unfaithful(f"{what}: {difference(wanted, got)}")


def _same_members(what: str, wanted: rewrites.Members, got: rewrites.Members) -> None:
    for (key, value), (other, found) in zip(wanted, got, strict=False):
        if key != other:
            raise Unfaithful(f"{what}: {key!r} should come next, but {other!r} does")
        _same(f"{what}, member {key!r}", value.encode(), found.encode())
    if len(wanted) != len(got):
        longer, word = (wanted, "is missing") if len(wanted) > len(got) else (got, "was added")
        raise Unfaithful(f"{what}: member {longer[min(len(wanted), len(got))][0]!r} {word}")


def _as_members(pairs: rewrites.Members) -> rewrites.Members:
    return [(key, json.dumps(text_of(value)) if key == "name" else value) for key, value in pairs]


# ------------------------------------------------------------------------------------------ answers


def params_of(example: Example, client: Client, prefix: str) -> str:
    """The `params` that make the upstream answer as scripted."""
    pairs = _target(example.method, prefix)
    more = meta(client, ("progressToken", example.token))
    return spelled_object([*pairs, ("script", f'"{example.script.packed()}"'), ("_meta", spelled_object(more, ""))], "")


def _target(method: str, prefix: str, *, template: bool = False) -> list[tuple[str, str]]:
    name = json.dumps(f"{prefix}say")
    if method in NAMED:
        return [("name", name)]
    if method == "resources/read":
        return [("uri", '"test://say"')]
    ref = (
        '{ "type": "ref/resource", "uri":"test://say/{more}","n":1.0}'
        if template
        else f'{{"type":"ref/prompt","name":{name}}}'
    )
    return [("ref", ref), ("argument", '{"name":"a","value":"b"}')]


async def check_answer(leg: Leg, example: Example, change: Change | None = None) -> None:
    """Ask directly and over every route, and compare; raises `Unfaithful`."""
    direct = await leg.direct.ask(example.method, params_of(example, leg.direct, ""))
    for number, route in enumerate(leg.routes):
        id = f'"id/{number}\\u00e9"' if number % 2 else str(number)
        got = await route.client.ask(example.method, params_of(example, route.client, leg.prefix), id)
        if change is not None:
            got = change(got)
        try:
            if example.asks and (leg.era, route.era) == ("2026", "2025"):
                _check_refused_questions(got)
                continue
            compare(direct, got, route, example, id)
        except Unfaithful as unfaithful:
            raise Unfaithful(f"{leg.name} to a {_words(route)}, {example.method}: {unfaithful}") from None


def _words(route: Route) -> str:
    return f"{route.era} client" + " that can be asked" * route.capable + " that prefers events" * route.streams


def compare(direct: Answer, got: Answer, route: Route, example: Example, id: str) -> None:
    """Hold what came through the gateway against what was said directly."""
    if got.outcome != direct.outcome:
        raise Unfaithful(f"{direct.outcome} became {got.outcome}: {got.body[:400]!r}")
    compare_notifications(rewrites.notifications(direct.notifications, route.era, example.token), got.notifications)
    if direct.outcome == "result":
        wanted = rewrites.result(direct.body, route.era, example.method)
        _same("result", rewrites.in_events(wanted) if route.streams else wanted, got.body)
    else:
        wanted = rewrites.error(direct.body)
        _same("error", rewrites.in_events(wanted) if route.streams else wanted, got.body)
    if got.envelope != {"jsonrpc": '"2.0"', "id": id}:
        raise Unfaithful(f"around it stands {got.envelope}")
    code = error_code(direct.body) if direct.outcome == "error" else None
    # A stream that has begun has its status.
    status = 200 if got.notifications else rewrites.status(route.era, code)
    if got.status != status:
        raise Unfaithful(f"HTTP {got.status} in place of {status}")


def _check_refused_questions(got: Answer) -> None:
    """Questions become requests to a handshake client; to one that cannot be asked they are an error of Callboard's."""
    if got.outcome != "error" or b"asks the client for what it did not offer" not in got.body:
        raise Unfaithful(f"questions to a client that cannot be asked became {got.outcome} {got.body[:400]!r}")


async def check_together(leg: Leg, count: int) -> None:
    """Many clients of both eras call at once, each with its own words under the same progress token."""
    clients = [Http(route.client.url, route.era) for route in leg.routes[:2] for _ in range(count)]
    scripts = [_counting(number) for number in range(len(clients))]
    calls = [
        client.ask(example.method, params_of(example, client, leg.prefix))
        for client, example in zip(clients, scripts, strict=True)
    ]
    try:
        for number, got in enumerate(await asyncio.gather(*calls)):
            said = [member(member(note, "params") or b"{}", "message") for note in got.notifications]
            wanted = [f'"{number}/{step}"'.encode() for step in range(5)]
            if said != wanted or got.body.count(b'"call %d"' % number) != 1:
                raise Unfaithful(f"{leg.name}: call {number} heard {said} and got {got.body[:200]!r}")
    finally:
        for client in clients:
            await client.close()


def _counting(number: int) -> Example:
    note = (
        '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d,"message":"%s"}}'
    )
    notes = [note % (TOKEN, step, f"{number}/{step}") for step in range(5)]
    last = answer("result", f'{{"content":[],"com.example/x":"call {number}"}}', "")
    return Example("tools/call", Script([*notes, last], sse=True), '"same"')


async def check_named(leg: Leg, kind: str, own: str) -> None:
    """Whatever is listed is found under its name in the playbook, and its upstream is given its own name."""
    method = {"tools": "tools/call", "prompts": "prompts/get", "resources": "resources/read"}[kind]
    script = Script([answer("result", _REPORT[method].replace("%s", PARAMS), "")])
    key = "uri" if kind == "resources" else "name"
    wire = own if kind == "resources" else rewrites.wire_name(leg.prefix, own)
    for route in leg.routes[:2]:
        pairs = [
            (key, json.dumps(wire)),
            ("script", f'"{script.packed()}"'),
            ("_meta", spelled_object(meta(route.client), "")),
        ]
        got = await route.client.ask(method, spelled_object(pairs, ""))
        reported = member(got.body, "params")
        if reported is None and kind == "tools" and b"Invalid arguments for tool" in got.body:
            continue  # its schema asks for more than nothing
        asked = None if reported is None else text_of(member(base64.b64decode(text_of(reported)), key) or b"null")
        if asked != own:
            raise Unfaithful(f"{leg.name}: {kind} {wire!r} became {asked!r}: {got.body[:300]!r}")


def error_code(body: bytes) -> int:
    """The code of an error."""
    code: int = text_of(member(body, "code") or b"0")
    return code


def compare_notifications(wanted: list[bytes | rewrites.Members], got: list[bytes]) -> None:
    """The same notifications in the same order."""
    for number, (said, heard) in enumerate(zip(wanted, got, strict=False), 1):
        what = f"notification {number}"
        if isinstance(said, bytes):
            _same(what, said.strip(), heard.strip())
        else:
            _same_members(f"{what}, params", said, members(member(heard, "params") or b"{}"))
    if len(wanted) != len(got):
        raise Unfaithful(f"{len(wanted)} notifications were said, {len(got)} were heard: {[n[:80] for n in got]}")


# ------------------------------------------------------------------------------------------ requests

_REPORT = {
    "tools/call": '{"content":[],"params":"%s"}',
    "prompts/get": '{"messages":[],"params":"%s"}',
    "resources/read": '{"contents":[],"params":"%s"}',
    "completion/complete": '{"completion":{"values":[]},"params":"%s"}',
}


async def check_request(leg: Leg, request: Request) -> None:
    """Send it over every route, and compare what the upstream got with what the client sent."""
    script = Script([answer("result", _REPORT[request.method].replace("%s", PARAMS), "")])
    for route in leg.routes:
        token = [("progressToken", request.token)] if request.token else []
        own = spelled_object(meta(route.client, *request.meta, *token), request.space, request.spell)
        target = _target(request.method, leg.prefix, template=request.template)
        pairs = [*target, *request.pairs, ("_meta", own), ("script", f'"{script.packed()}"')]
        sent = spelled_object(pairs, request.space, request.spell)
        heard = await route.client.ask(request.method, sent)
        reported = member(heard.body, "params") if heard.outcome == "result" else None
        if reported is None:
            raise Unfaithful(f"{leg.name} from a {_words(route)}, {request.method}: refused: {heard.body[:400]!r}")
        try:
            compare_params(leg, request, sent.encode(), base64.b64decode(text_of(reported)))
        except Unfaithful as unfaithful:
            raise Unfaithful(f"{leg.name} from a {_words(route)}, {request.method}: {unfaithful}") from None


def compare_params(leg: Leg, request: Request, sent: bytes, got: bytes) -> None:
    """Hold what the upstream got against what the client sent."""
    name = "say" if request.method in NAMED else None
    wanted, wanted_meta = rewrites.params(sent, name, stdio=leg.stdio)
    found = members(got)
    own = members(dict(found).get("_meta", "{}").encode())
    added = rewrites.added_meta(leg.era, progress=bool(request.token))
    plain = [(key, value) for key, value in found if key != "_meta"]
    if request.method == "completion/complete" and not request.template:
        wanted = [(key, value.replace(leg.prefix, "") if key == "ref" else value) for key, value in wanted]
        plain = [(key, _compact(value) if key == "ref" else value) for key, value in plain]
        wanted = [(key, _compact(value) if key == "ref" else value) for key, value in wanted]
    _same_members("params", _as_members(wanted), _as_members(plain))
    _same_members("_meta", wanted_meta, [pair for pair in own if pair[0] not in added])


def _compact(value: str) -> str:
    return json.dumps(text_of(value))


# --------------------------------------------------------------------------------------- definitions


def compare_definition(direct: str, got: str, prefix: str, kind: str) -> None:
    """One definition as the upstream lists it, and as a playbook with this prefix does."""
    wanted: bytes | rewrites.Members = direct.encode()
    if kind in ("tools", "prompts"):
        name = text_of(member(direct.encode(), "name") or b'""')
        wanted = rewrites.definition(direct.encode(), rewrites.wire_name(prefix, name))
    if isinstance(wanted, bytes):
        _same(f"definition in {kind}", wanted, got.encode())
    else:
        _same_members(f"definition in {kind}", _as_members(wanted), _as_members(members(got.encode())))
