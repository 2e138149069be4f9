"""`cb.ask.router.preview` and `cb.ask.router.explain`: the lists that a caller gets, now or at a time, and why.

Nothing is rebuilt for this: a preview is a caller's own requests, resolved by the code that resolves those of callers,
against what is served now, or against the log folded up to a moment.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from callboard.contracts.calls import RpcHead
from callboard.contracts.previews import AskExplanation, AskPreview, Explanation, Preview
from callboard.contracts.problems import Problem
from callboard.platform.event_store import EventStore
from callboard.platform.log_follower import LogFollower
from callboard_router.calls.resolve import Answer, resolve
from callboard_router.catalogue.compiled import CompiledPlaybook
from callboard_router.catalogue.explain import explain, explain_things
from callboard_router.catalogue.served import Served
from callboard_router.state import RouterState

_PAGE = 500


class _Page(msgspec.Struct, rename="camel"):
    next_cursor: str | None = None


_page = msgspec.json.Decoder(_Page).decode


class Previews:
    """Looks at playbooks as callers see them."""

    def __init__(self, store: EventStore, follower: LogFollower, served: Served) -> None:
        self._store = store
        self._follower = follower
        self._served = served

    async def preview(self, question: AskPreview) -> Preview:
        """The lists of one caller; `playbook.unknown` and `.version_unknown` as that caller would get them."""
        organisation = question.organisation
        if question.at is None:
            await self._follower.catch_up(organisation)
            seq, served = self._follower.position(organisation), self._served
        else:
            seq, served = await self._then(organisation, question.playbook, question.at)
        head = RpcHead("", "", question.era, question.client, "", 0, 0, version=question.version)
        compiled = served.find(organisation, question.playbook, head)
        return Preview(
            organisation=organisation,
            playbook=question.playbook,
            version=compiled.version,
            current=served.all()[(organisation, question.playbook)].version,
            client=question.client,
            era=question.era,
            seq=seq,
            lists={method: _pages(method, head, compiled) for method in compiled.lists},
            hidden=compiled.exposure.hidden,
        )

    async def explain(self, question: AskExplanation) -> Explanation:
        """The rules behind a tool, prompt or resource; `tool.unknown` when the playbook has none of this name."""
        await self._follower.catch_up(question.organisation)
        head = RpcHead("", "", "", "", "", 0, 0, version=question.version)
        compiled = self._served.find(question.organisation, question.playbook, head)
        tools, things = explain(compiled, question.tool), explain_things(compiled, question.tool)
        if not tools and not things:
            unseen = sorted(hidden.name for hidden in compiled.exposure.hidden if hidden.kind == "server")
            more = f"; what {', '.join(unseen)} would offer is not known or not used" if unseen else ""
            raise Problem("tool.unknown", f"no server of {question.playbook!r} has a tool {question.tool!r}{more}")
        return Explanation(
            playbook=question.playbook,
            version=compiled.version,
            tools=tools,
            things=things,
            outdated=self._served.outdated(question.organisation, question.playbook, compiled.version),
        )

    async def _then(self, organisation: str, playbook: str, at: datetime) -> tuple[int, Served]:
        """The log folded up to a moment, and the playbook compiled of that; the position reached."""
        state, seq = RouterState(), 0
        while page := await self._store.read(organisation, seq, _PAGE):
            before = [recorded for recorded in page if recorded.recorded_at <= at]
            state.apply(before)
            seq += len(before)
            if len(before) < len(page):
                break
        then = self._served.like(state)
        if organisation in state.organisations:
            then.compile({(organisation, playbook)})
        return seq, then


def _pages(method: str, head: RpcHead, compiled: CompiledPlaybook) -> tuple[msgspec.Raw, ...]:
    """The result of every page, asked for as a client does."""
    pages: list[msgspec.Raw] = []
    params = b"{}"
    while True:
        outcome = resolve(msgspec.structs.replace(head, method=method), params, compiled)
        assert isinstance(outcome, Answer)  # a list is always the router's own answer
        pages.append(msgspec.Raw(outcome.result))
        cursor = _page(outcome.result).next_cursor
        if cursor is None:
            return tuple(pages)
        params = msgspec.json.encode({"cursor": cursor})
