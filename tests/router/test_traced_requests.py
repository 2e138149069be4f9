"""What the router and the projections note of sampled work, and that of anything else they note nothing."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from nats.aio.msg import Msg

from callboard.contracts.calls import MODERN, CallHead, RpcHead
from callboard.contracts.problems import Problem
from callboard.contracts.status import LogHint
from callboard.platform.traces import Span, Traces
from callboard_projections.history.traced import MOST, FoldSpans
from callboard_router.calls.resolve import Answer, Target
from callboard_router.calls.traced import RouterSpans
from callboard_router.catalogue.deadlines import Limits

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
QUIET = PARENT[:-1] + "0"
PLAYBOOK: Any = SimpleNamespace(name="p", version=4)


class Noted:
    """In the place of what sends them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def note(self, span: Span) -> None:
        self.spans.append(span)


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def router(noted: Noted) -> RouterSpans:
    return RouterSpans(cast("Traces", noted))


def head(traceparent: str = PARENT) -> RpcHead:
    return RpcHead("c1", "tools/call", MODERN, "ann", "key", 0, time.time_ns() // 1000, traceparent=traceparent)


TARGET = Target("up", "echo", "up__echo", "sha256:1", Limits(1, 1))


def test_what_is_not_sampled_goes_through_as_it_is_and_leaves_nothing(router: RouterSpans, noted: Noted) -> None:
    for traceparent in (QUIET, ""):
        came = head(traceparent)
        assert router.taken(came) is came, "not even copied"
        router.settled(came, "acme", PLAYBOOK, TARGET)
        router.ended(came, "acme", PLAYBOOK, "tool.unknown")
    assert noted.spans == []
    assert router._open == {}


@pytest.mark.parametrize(
    ("outcome", "said", "fault"),
    [
        (TARGET, "forwarded", ""),
        (Answer(b"{}"), "answered", ""),
        (Answer(b"{}", "argument.invalid", "up__echo", "up", "sha256:1"), "refused", "argument.invalid"),
    ],
)
def test_a_sampled_request_is_noted_once_with_what_became_of_it(
    router: RouterSpans, noted: Noted, outcome: Answer | Target, said: str, fault: str
) -> None:
    own = router.taken(head())
    router.settled(own, "acme", PLAYBOOK, outcome)
    router.settled(own, "acme", PLAYBOOK, outcome)
    [span] = noted.spans
    assert (span.traceparent, span.parent, span.fault) == (own.traceparent, PARENT, fault)
    assert own.traceparent[:36] == PARENT[:36]
    assert own.traceparent != PARENT
    assert span.attributes["callboard.outcome"] == said
    assert span.attributes["callboard.playbook.version"] == 4
    assert "ann" not in str(span)
    assert "key" not in str(span)


def test_a_refusal_names_its_problem_also_before_a_playbook_was_found(router: RouterSpans, noted: Noted) -> None:
    router.ended(router.taken(head()), "acme", None, "playbook.unknown")
    [span] = noted.spans
    assert (span.fault, span.attributes["callboard.outcome"]) == ("playbook.unknown", "refused")
    assert "callboard.playbook" not in span.attributes


def test_a_call_that_nobody_took_says_how_long_it_waited(router: RouterSpans, noted: Noted) -> None:
    routed = time.time_ns() // 1000 - 250_000
    names = ("up", "echo", "up__echo", "sha256:1", "_INBOX.e", MODERN, "ann", "key")
    waited = CallHead("c1", "tools/call", "acme", "p", 4, *names, 0, routed, routed, traceparent=PARENT)
    router.not_placed(waited, Problem("server.unavailable", "no connector holds it"))
    [span] = noted.spans
    assert (span.name, span.parent, span.fault) == ("place", PARENT, "server.unavailable")
    assert span.ended - span.began >= 250_000_000
    router.not_placed(msgspec.structs.replace(waited, traceparent=QUIET), Problem("server.unavailable", "x"))
    assert len(noted.spans) == 1


def hint(seq: int, traceparent: str = PARENT, organisation: str = "acme") -> Msg:
    data = msgspec.json.encode(LogHint(organisation=organisation, seq=seq))
    return cast("Msg", SimpleNamespace(headers={"traceparent": traceparent} if traceparent else None, data=data))


def test_a_fold_is_noted_for_the_command_whose_events_are_in_it(noted: Noted) -> None:
    folds = FoldSpans(cast("Traces", noted), "playbooks")
    folds.hinted(hint(7))
    folds.folded("acme", 3, 6, 1)
    folds.folded("other", 0, 9, 1)
    assert noted.spans == [], "its events are not in these"
    folds.folded("acme", 6, 8, 1)
    folds.folded("acme", 8, 9, 1)
    [span] = noted.spans
    assert (span.name, span.parent, span.attributes["callboard.seq"]) == ("fold playbooks", PARENT, 7)


def test_what_another_instance_folded_or_nobody_sampled_is_not_noted(noted: Noted) -> None:
    folds = FoldSpans(cast("Traces", noted), "playbooks")
    folds.hinted(hint(7))
    folds.folded("acme", 7, 9, 1)
    folds.hinted(hint(10, QUIET))
    folds.hinted(hint(11, ""))
    folds.folded("acme", 9, 12, 1)
    assert noted.spans == []


def test_what_never_comes_is_forgotten_before_it_is_too_much(noted: Noted) -> None:
    folds = FoldSpans(cast("Traces", noted), "playbooks")
    for number in range(3 * MOST):
        folds.hinted(hint(1, organisation=f"org-{number}"))
    assert len(folds._expected) <= MOST
