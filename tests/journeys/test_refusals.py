"""What nobody should send: the right JSON-RPC code and HTTP status, never a 500, and nothing secret in a log."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.support.names import fresh
from tests.support.stack import META, Stack
from tests.support.waiting import PATIENCE, promised

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

MODERN = {"MCP-Protocol-Version": "2026-07-28", "Accept": "application/json, text/event-stream"}
LEGACY = {"MCP-Protocol-Version": "2025-11-25", "Accept": "application/json, text/event-stream"}


async def playbook(stack: Stack) -> tuple[str, str]:
    """An endpoint with a stored prompt, and a token for it."""
    organisation = fresh("org")
    text = {
        "version": 1,
        "organisation": organisation,
        "playbooks": {"p": {"prompts": {"hello": {"template": "hi"}}}},
    }
    await stack.apply(json.dumps(text))
    return stack.endpoint(organisation, "p"), await stack.token(organisation)


async def post(url: str, token: str | None, content: bytes, headers: dict[str, str]) -> httpx2.Response:
    sent = {"Content-Type": "application/json", **headers}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        return await http.post(url, content=content, headers=sent)


def request(method: str = "ping", **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, **more}).encode()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, -32700),
        (b"{nonsense", 400, -32700),
        (b"\xff\xfe", 400, -32700),
        (b"[]", 400, -32600),
        (b"[" + request() + b"]", 400, -32600),
        (b"[" * 50_000, 400, -32600),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', 400, -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', 400, -32600),
        (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', 400, -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', 400, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', 400, -32600),
        (request(params=[]), 400, -32600),
        (request(params="x"), 400, -32600),
        (request(params={"_meta": 7}), 400, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"x" * 5_000_000 + b'"}}', 413, -32600),
    ],
    ids=lambda value: f"{value[:30]!r}" if isinstance(value, bytes) else str(value),
)
@pytest.mark.parametrize("era", [MODERN, LEGACY], ids=["2026", "2025"])
async def test_a_malformed_body_gets_its_code_and_status(
    stack: Stack, era: dict[str, str], body: bytes, status: int, code: int
) -> None:
    url, token = await playbook(stack)
    answer = await post(url, token, body, era)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "media",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; x=application/json"},
        {"Accept": "text/html"},
    ],
    ids=str,
)
async def test_what_is_not_json_by_its_headers_or_wants_something_else_is_refused(
    stack: Stack, media: dict[str, str]
) -> None:
    url, token = await playbook(stack)
    answer = await post(url, token, request("server/discover", params={"_meta": META}), {**MODERN, **media})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


@pytest.mark.parametrize("method", ["no/such", "initialize", "logging/setLevel", "", "tools/", "x" * 5000])
async def test_an_unknown_method_is_not_found_in_the_stateless_era(stack: Stack, method: str) -> None:
    url, token = await playbook(stack)
    headers = {**MODERN, "Mcp-Method": method}
    answer = await post(url, token, request(method, params={"_meta": META}), headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, -32601)


async def test_a_request_without_a_session_is_told_to_begin_with_initialize(stack: Stack) -> None:
    url, token = await playbook(stack)
    answer = await post(url, token, request("tools/list"), LEGACY)
    assert answer.status_code == 400
    assert "initialize" in answer.json()["error"]["message"]
    unknown = await post(url, token, request("tools/list"), {**LEGACY, "Mcp-Session-Id": "0" * 40})
    assert unknown.status_code == 404


@pytest.mark.parametrize("token", [None, "nonsense", "cbk_" + "0" * 46, "x" * 8000], ids=lambda t: str(t)[:12])
async def test_a_missing_or_false_token_is_401_with_a_challenge(stack: Stack, token: str | None) -> None:
    url, _ = await playbook(stack)
    header = (
        {} if token is None else {"Authorization": f"Bearer {token}".encode("latin-1", "replace").decode("latin-1")}
    )
    headers = {**MODERN, "Mcp-Method": "tools/list", **header}
    answer = await post(url, None, request("tools/list", params={"_meta": META}), headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "error" in answer.json()


async def test_an_expired_token_is_refused(stack: Stack) -> None:
    organisation = (await playbook(stack))[0].split("/")[4]
    token = await stack.token(organisation, "short", "--expires", "1s")

    async def refused() -> bool:
        answer = await stack.rpc(stack.endpoint(organisation, "p"), "prompts/list", token=token)
        return answer.status_code == 401

    await promised(refused, within=5, every=0.2)


async def test_a_foreign_host_or_origin_is_refused(stack: Stack) -> None:
    url, token = await playbook(stack)
    body = request("tools/list", params={"_meta": META})
    for header in ({"Host": "evil.example.com"}, {"Origin": "http://evil.example.com"}):
        answer = await post(url, token, body, {**MODERN, "Mcp-Method": "tools/list", **header})
        assert answer.status_code == 403


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "HEAD", "OPTIONS"])
async def test_other_verbs_are_not_allowed(stack: Stack, verb: str) -> None:
    url, token = await playbook(stack)
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as http:
        answer = await http.request(verb, url)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/p/x", "/p/a/b/c", "/p/../x/mcp", "/p/A/b/mcp", "/p/%2e/b/mcp", "/p/a/%00/mcp"])
async def test_a_path_that_names_no_playbook_is_not_found(stack: Stack, path: str) -> None:
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        answer = await http.post(stack.url + path, content=request(), headers={"Content-Type": "application/json"})
    assert answer.status_code in (401, 404)


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("GET", "/api/v1/organisations/nobody/playbooks", None, 401),
        ("POST", "/api/v1/organisations", {"organisation": "Not A Slug"}, 400),
        ("POST", "/api/v1/organisations", {"nonsense": 1}, 400),
        ("POST", "/api/v1/organisations/x/apply", [], 400),
        ("GET", "/api/v1/nothing", None, 404),
    ],
)
async def test_the_management_api_answers_with_problem_documents(
    stack: Stack, verb: str, path: str, body: Any, status: int
) -> None:
    headers = {} if status == 401 else {"Authorization": f"Bearer {stack.admin_token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
        answer = await http.request(verb, stack.url + path, json=body)
    assert answer.status_code == status
    if status != 404:
        assert answer.json()["code"]


async def test_nothing_of_this_was_unexpected_and_no_token_stands_in_a_log(stack: Stack) -> None:
    _, token = await playbook(stack)
    for log in (stack.directory / "logs").glob("*.log"):
        text = log.read_text(errors="replace")
        assert token not in text
        assert stack.admin_token not in text
        assert "mcp_request_failed" not in text, log
        assert "api_failed" not in text, log
