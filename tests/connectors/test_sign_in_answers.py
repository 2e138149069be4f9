"""How a caller is told that it has to sign in to a server first, in each era and with each ability."""

from __future__ import annotations

import json

import pytest

from callboard.contracts.calls import ERROR, LEGACY, MODERN, RESULT, CallHead
from callboard.contracts.problems import Problem
from callboard_connectors.calls.sign_in import follows_links, to_sign_in, without_answer

URL = "https://callboard.example/connect/abc"
NEEDED = Problem("server.sign_in_needed", f"sign in first: open {URL}", server="wiki", url=URL)
LINKS = b'{"elicitation":{"url":{}}}'


def head(era: str, capabilities: bytes, method: str = "tools/call") -> CallHead:
    return CallHead(
        call_id="c",
        method=method,
        organisation="acme",
        playbook="p",
        version=1,
        server="wiki",
        upstream_name="t",
        wire_name="t",
        digest="",
        reply_to="r",
        era=era,
        client="alice",
        principal="k",
        deadline=0,
        received=0,
        routed=0,
        capabilities=capabilities,
    )


def test_a_stateless_client_is_asked_to_show_the_link() -> None:
    ended = to_sign_in(head(MODERN, LINKS), NEEDED)
    assert ended is not None
    assert ended.kind == RESULT
    said = json.loads(ended.body)
    assert said["resultType"] == "input_required"
    (asked,) = said["inputRequests"].values()
    assert (asked["method"], asked["params"]["mode"], asked["params"]["url"]) == ("elicitation/create", "url", URL)


def test_a_handshake_client_gets_the_error_of_its_revision() -> None:
    ended = to_sign_in(head(LEGACY, LINKS), NEEDED)
    assert ended is not None
    assert ended.kind == ERROR
    error = json.loads(ended.body)
    (asked,) = error["data"]["elicitations"]
    assert (error["code"], asked["mode"], asked["url"]) == (-32042, "url", URL)
    assert asked["elicitationId"]
    assert asked["elicitationId"] not in URL


@pytest.mark.parametrize("era", [MODERN, LEGACY])
@pytest.mark.parametrize("capabilities", [b"{}", b'{"elicitation":{}}', b'{"elicitation":{"form":{}}}', b"[]"])
def test_other_clients_get_an_ordinary_error_with_the_link_in_it(era: str, capabilities: bytes) -> None:
    assert not follows_links(capabilities)
    assert to_sign_in(head(era, capabilities), NEEDED) is None


def test_a_method_that_cannot_ask_back_ends_with_an_error() -> None:
    assert to_sign_in(head(MODERN, LINKS, "completion/complete"), NEEDED) is None


def test_other_problems_are_left_alone() -> None:
    assert to_sign_in(head(MODERN, LINKS), Problem("server.unavailable", "away")) is None
    unattended = Problem("server.sign_in_needed", "nobody has signed in", server="wiki")
    assert to_sign_in(head(MODERN, LINKS), unattended) is None


def test_the_answer_to_our_question_does_not_reach_the_server() -> None:
    ours = {"callboard_sign_in": {"action": "accept"}}
    sent = json.dumps({"name": "t", "inputResponses": ours}).encode()
    assert json.loads(without_answer(sent)) == {"name": "t"}
    both = json.dumps({"name": "t", "inputResponses": {**ours, "theirs": {"action": "accept"}}}).encode()
    assert json.loads(without_answer(both)) == {"name": "t", "inputResponses": {"theirs": {"action": "accept"}}}
    assert without_answer(b'{"name":"t"}') == b'{"name":"t"}'
