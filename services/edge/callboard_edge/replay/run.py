"""Run one recorded call again: the way of every call, from this edge on, under the name of the operator."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec

from callboard.contracts import subjects
from callboard.contracts.access import Principal
from callboard.contracts.calls import ERROR, RESULT, CallRecord, RpcHead
from callboard.contracts.management import ReplayCall
from callboard.contracts.problems import CODES, Problem
from callboard.contracts.records import AskCalls, AskVersion, Calls, Difference, Replayed, Version
from callboard.kernel.redaction import Redaction
from callboard.kernel.result_diff import differences
from callboard.platform.bus import Bus
from callboard.platform.telemetry import new_traceparent
from callboard_edge.mcp.calls import Calls as InFlight
from callboard_edge.mcp.gate import Place, scopes_of
from callboard_edge.replay.candidates import Candidates
from callboard_edge.replay.domain import Tool, check_safe, mirrored, recorded_arguments


class _Page(msgspec.Struct):
    tools: list[Tool]
    nextCursor: str | None = None


class _Result(msgspec.Struct):
    isError: bool = False


class _Ended(NamedTuple):
    call_id: str
    result: bytes | None
    outcome: str
    said: str
    took_us: int
    version: int = 0


_page = msgspec.json.Decoder(_Page).decode
_result = msgspec.json.Decoder(_Result).decode
_any = msgspec.json.Decoder().decode


class _Error(msgspec.Struct):
    message: str = ""


_error = msgspec.json.Decoder(_Error).decode


class Replays:
    """Runs recorded calls again. `deadline` is how long each may take, in seconds."""

    def __init__(self, bus: Bus, calls: InFlight, deadline: float) -> None:
        self._bus = bus
        self._calls = calls
        self._deadline = int(deadline * 1000)
        self._candidates = Candidates(bus)

    async def recorded(self, organisation: str, call_id: str) -> CallRecord:
        """The call that is meant; raises `call.unknown`."""
        found = await self._bus.ask(subjects.CALLS_ASKED, AskCalls(organisation=organisation, call_id=call_id), Calls)
        if not call_id or not found.calls:
            raise Problem("call.unknown", f"no call {call_id!r} is recorded", call_id=call_id)
        return found.calls[0]

    async def run(self, principal: Principal, place: Place, record: CallRecord, wish: ReplayCall) -> Replayed:
        """Run it on that version, or on the candidate, and compare; raises `call.not_replayable` and why."""
        if wish.candidate is None:
            return await self._run_at(principal, place, record, wish)
        tried = await self._candidates.place_of(principal, place, wish.candidate)
        try:
            return await self._run_at(principal, tried, record, wish)
        except Problem as problem:
            if problem.code != "playbook.version_unknown":
                raise
            # A router that has started since, or servers that changed: it did not run, so it may be sent once more.
            tried = await self._candidates.place_of(principal, place, wish.candidate, anew=True)
            return await self._run_at(principal, tried, record, wish)

    async def _run_at(self, principal: Principal, place: Place, record: CallRecord, wish: ReplayCall) -> Replayed:
        arguments = recorded_arguments(record)
        tool, served = await self._tool(principal, place, record)
        place = place._replace(version=served)
        if tool is None:
            gone = Difference(path="tool", before=record.tool)
            return _replayed(record, place, _Ended("", None, "tool.unknown", "", 0), "definition", (gone,))
        check_safe(record, tool, wish.unsafe)
        params = msgspec.json.encode({"name": record.tool, "arguments": arguments})
        headers = mirrored(record, tool, arguments)
        ended = await self._ask(principal, place, record.era, "tools/call", params, record.call_id, headers)
        if ended.outcome == "playbook.version_unknown":
            raise Problem(ended.outcome, ended.said)
        return await self._compared(record, place, ended, wish)

    async def _tool(self, principal: Principal, place: Place, record: CallRecord) -> tuple[Tool | None, int]:
        """The tool as that version has it, None when it has none of this name; and which version answered."""
        cursor: str | None = None
        while True:
            params = msgspec.json.encode({} if cursor is None else {"cursor": cursor})
            ended = await self._ask(principal, place, record.era, "tools/list", params)
            if ended.result is None:
                raise Problem(ended.outcome if ended.outcome in CODES else "internal.unexpected", ended.said)
            page = _page(ended.result)
            for tool in page.tools:
                if tool.name == record.tool:
                    return tool, ended.version
            cursor = page.nextCursor
            if cursor is None:
                return None, ended.version

    async def _ask(
        self,
        principal: Principal,
        place: Place,
        era: str,
        method: str,
        params: bytes,
        replay_of: str = "",
        headers: dict[str, str] | None = None,
    ) -> _Ended:
        received = time.time_ns() // 1000
        head = RpcHead(
            call_id=self._calls.new_id(received),
            method=method,
            era=era,
            client=principal.client,
            principal=principal.key_id,
            deadline=received // 1000 + self._deadline,
            received=received,
            version=place.version,
            traceparent=new_traceparent(),
            param_headers=headers,
            replay_of=replay_of,
            member=principal.member,
            oauth_client=principal.oauth_client,
            scopes=scopes_of(principal, place.organisation),
        )
        call = await self._calls.send(head, place.organisation, place.playbook, params)
        try:
            reply, body = await call.next()
            while reply.kind not in (RESULT, ERROR):
                reply, body = await call.next()
        finally:
            self._calls.forget(call)
        took = time.time_ns() // 1000 - received
        if reply.kind == RESULT:
            outcome = "tool_error" if _result(body).isError else "ok"
            return _Ended(head.call_id, body, outcome, "", took, reply.served_version)
        return _Ended(head.call_id, None, reply.problem or "error", _error(body).message, took)

    async def _compared(self, record: CallRecord, place: Place, ended: _Ended, wish: ReplayCall) -> Replayed:
        content = record.content
        if content is None or content.result is None or ended.result is None:
            return _replayed(record, place, ended, "outcome", _outcomes(record, ended))
        result = await self._redacted(record, _any(ended.result))
        found = differences(content.result, result, wish.ignore, ignore_times=wish.ignore_times)
        return _replayed(record, place, ended, "result", found)

    async def _redacted(self, record: CallRecord, result: Any) -> Any:
        """The new result by the rules that the recorded one was kept by: nobody sees more of it by a replay."""
        question = AskVersion(organisation=record.organisation, playbook=record.playbook, version=record.version)
        version = await self._bus.ask(subjects.VERSION, question, Version)
        rules = version.content.definition.record
        cleaned, _ = Redaction(rules.redact if rules else ()).apply({"result": result})
        return cleaned["result"]


def _outcomes(record: CallRecord, ended: _Ended) -> tuple[Difference, ...]:
    before = "error" if record.outcome not in ("ok", "tool_error") else record.outcome
    after = "error" if ended.result is None else ended.outcome
    if before == after and (after != "error" or record.problem in ("", ended.outcome)):
        return ()
    said = f"{ended.outcome}: {ended.said}" if ended.said else ended.outcome
    return (Difference(path="outcome", before=record.problem or record.outcome, after=said),)


def _replayed(
    record: CallRecord, place: Place, ended: _Ended, compared: Any, found: tuple[Difference, ...]
) -> Replayed:
    return Replayed(
        call_id=record.call_id,
        replay_id=ended.call_id,
        playbook=place.playbook,
        version=place.version,
        tool=record.tool,
        same=not found,
        compared=compared,
        outcome_before=record.outcome,
        outcome_after=ended.outcome,
        us_before=record.total_us,
        us_after=ended.took_us,
        differences=found,
    )
