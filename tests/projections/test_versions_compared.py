"""The semantic diff of two versions, with the definitions that servers gave and the callers of the call log."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from callboard.contracts import subjects
from callboard.contracts.definitions import Catalogue, CatalogueItem, Exposed, PlaybookContent, PlaybookDefinition
from callboard.contracts.events import PlaybookPublished, ServerCatalogueDiscovered
from callboard.contracts.playbooks import Caller
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskCallers, AskDefinition, AskDiff, Callers, Definition, Diff
from callboard.kernel.digest import digest_of
from tests.projections.stack import Stack, call_record, registered
from tests.support.waiting import eventually

OLD = {"name": "log", "description": "Old", "inputSchema": {"type": "object"}}
NEW = {"name": "log", "description": "New", "inputSchema": {"type": "object", "required": ["path"]}}


def catalogue(definition: dict[str, Any]) -> ServerCatalogueDiscovered:
    raw = msgspec.Raw(json.dumps(definition).encode())
    item = CatalogueItem(name=definition["name"], digest=digest_of(definition), raw=raw)
    return ServerCatalogueDiscovered(
        server="git", digest=item.digest, catalogue=Catalogue(era="2025-11-25", tools=(item,))
    )


def version(number: int, definition: dict[str, Any]) -> PlaybookPublished:
    exposed = Exposed(server="git", name="log", digest=digest_of(definition))
    content = PlaybookContent(definition=PlaybookDefinition(), tools={"git__log": exposed})
    return PlaybookPublished(playbook="start", version=number, content=content, content_digest=f"sha256:{number}")


async def two_versions(stack: Stack) -> None:
    await stack.projections()
    await stack.log.append("acme", registered("git"), catalogue(OLD))
    await stack.log.append("acme", version(1, OLD))
    await stack.log.append("acme", catalogue(NEW))
    await stack.log.append("acme", version(2, NEW))


async def test_a_changed_definition_is_told_member_by_member(stack: Stack) -> None:
    await two_versions(stack)
    question = AskDiff(organisation="acme", playbook="start", before=1, after=2)
    answer = await stack.edge.ask(subjects.DIFF, question, Diff)
    assert {(c.kind, c.path, c.severity) for c in answer.changes} == {
        ("changed", "tool git__log description", "notable"),
        ("narrowed", "tool git__log input /required", "breaking"),
    }


async def test_who_called_the_tool_lately_is_named_with_the_line_that_concerns_them(stack: Stack) -> None:
    await two_versions(stack)
    await stack.record(
        call_record("1", client="ann"),
        call_record("2", client="bob"),
        call_record("3", client="bob"),
        call_record("4", client="foreign", organisation="beta"),
        call_record("5", client="elsewhere", playbook="other"),
    )
    question = AskCallers(organisation="acme", playbook="start", tools=("git__log", "git__other"), days=2)

    async def called() -> Callers | None:
        answer = await stack.edge.ask(subjects.CALLERS, question, Callers)
        return answer if sum(caller.calls for caller in answer.tools.get("git__log", ())) == 3 else None

    answer = await eventually(called)
    callers = (Caller(client="bob", calls=2), Caller(client="ann", calls=1))
    assert answer is not None
    assert answer.tools == {"git__log": callers}

    diff = AskDiff(organisation="acme", playbook="start", before=1, after=2, days=2)
    lines = (await stack.edge.ask(subjects.DIFF, diff, Diff)).changes
    assert {change.callers for change in lines} == {callers}
    nobody = AskDiff(organisation="acme", playbook="start", before=1, after=2, days=0)
    assert {change.callers for change in (await stack.edge.ask(subjects.DIFF, nobody, Diff)).changes} == {()}


async def test_a_definition_can_be_read_by_its_digest_long_after_it_changed(stack: Stack) -> None:
    await two_versions(stack)
    question = AskDefinition(organisation="acme", digest=digest_of(OLD))
    answer = await stack.edge.ask(subjects.DEFINITION, question, Definition)
    assert (answer.kind, answer.server, answer.name) == ("tool", "git", "log")
    assert json.loads(bytes(answer.definition)) == OLD
    await stack.log.create("beta")
    with pytest.raises(Problem) as refused:
        await stack.edge.ask(subjects.DEFINITION, AskDefinition(organisation="beta", digest=digest_of(OLD)), Definition)
    assert refused.value.code == "definition.unknown"
