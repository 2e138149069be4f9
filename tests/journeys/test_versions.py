"""Looking before and after a change of a playbook, from the command line and the API."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.names import fresh
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

FILE = """\
version: 1
organisation: {organisation}
servers:
  echo: {{url: "{url}"}}
playbooks:
  start:
    title: {title}
    servers:
      echo: {{tools: {{allow: {allow}}}}}
"""


async def applied(stack: Stack, organisation: str, url: str, title: str = "One", allow: str = '["*"]') -> None:
    await stack.apply(FILE.format(organisation=organisation, url=url, title=title, allow=allow), f"to {title}")


def paths(changes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {change["path"]: change for change in changes}


async def test_a_dry_run_of_a_rollback_says_what_changes_and_who_called_it_lately(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await applied(stack, organisation, upstream.url, allow='["echo"]')
        await applied(stack, organisation, upstream.url, "Two")
        token = await stack.token(organisation)
        call = {"name": "echo__mark", "arguments": {"text": "x"}}
        await stack.rpc(stack.endpoint(organisation, "start"), "tools/call", call, token)
        words = ("playbook", "rollback", name, "--to", "1", "--dry-run")

        async def told() -> dict[str, Any]:
            planned: dict[str, Any] = await stack.cli_json(*words)
            assert paths(planned["changes"])["tool echo__mark"]["callers"], "the call is not in the call log yet"
            return planned

        planned = await eventually(told)
        gone = paths(planned["changes"])["tool echo__mark"]
        assert (gone["kind"], gone["severity"]) == ("removed", "breaking")
        assert gone["callers"][0]["calls"] == 1
        assert (planned["version"], planned["seq"]) == (3, 0)
        history = (await stack.cli_json("playbook", "history", name))["versions"]
        assert history[0]["version"] == 2, "nothing was changed"
        code, out, _ = await stack.cli(*words, "--exit-code", ok=False)
        assert code == 4
        assert f"{name}: version 3 would have the content of version 1" in out
        assert "1 call by " in out


async def test_a_dry_run_of_a_rollback_says_what_has_become_of_the_servers(stack: Stack) -> None:
    async with running("echo") as echo, running("everything") as everything:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await applied(stack, organisation, echo.url)
        await applied(stack, organisation, everything.url, "Two")
        planned = await stack.cli_json("playbook", "rollback", name, "--to", "1", "--dry-run")
        assert "tool echo__mark: server echo does not offer mark any more" in planned["notes"]
        everything.signal(signal.SIGKILL)
        planned = await stack.cli_json("playbook", "rollback", name, "--to", "1", "--dry-run")
        assert any(note.startswith("server echo does not answer now") for note in planned["notes"])


async def test_undo_takes_the_last_change_back_and_can_be_undone(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await applied(stack, organisation, upstream.url)
        code, _, err = await stack.cli("playbook", "undo", name, "-m", "x", ok=False)
        assert (code, "one version only" in err) == (1, True)
        await applied(stack, organisation, upstream.url, "Two")
        code, _, err = await stack.cli("playbook", "undo", name, ok=False)
        assert (code, "comment.required" in err, "with -m" in err) == (1, True, True)
        back = await stack.cli_json("playbook", "undo", name, "-m", "too early")
        assert (back["version"], back["to_version"]) == (3, 1)
        again = await stack.cli_json("playbook", "undo", name, "-m", "no, it was right")
        assert (again["version"], again["to_version"]) == (4, 2)
        shown = await stack.cli_json("playbook", "show", name)
        assert shown["content"]["definition"]["title"] == "Two"


async def test_a_version_can_be_read_as_of_a_time(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        before = datetime.now(UTC)
        await applied(stack, organisation, upstream.url)
        between = datetime.now(UTC)
        await applied(stack, organisation, upstream.url, "Two")
        then = await stack.cli_json("playbook", "show", name, "--at", between.isoformat())
        now = await stack.cli_json("playbook", "show", name, "--at", "0s ago")
        assert (then["line"]["version"], now["line"]["version"]) == (1, 2)
        code, _, err = await stack.cli("playbook", "show", name, "--at", before.isoformat(), ok=False)
        assert (code, "no version yet" in err) == (1, True)
        code, _, err = await stack.cli("playbook", "show", f"{name}@1", "--at", "2h ago", ok=False)
        assert (code, "either" in err) == (2, True)
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}) as http:
            base = f"{stack.url}/api/v1/organisations/{organisation}/playbooks/start/versions/0"
            answer = await http.get(base, params={"at": between.isoformat()})
            assert answer.json()["line"]["version"] == 1
            vague = await http.get(base, params={"at": "2026-11-20T14:05:00"})
            assert (vague.status_code, "time zone" in vague.text) == (400, True)


async def test_two_who_undo_at_once_take_back_one_change(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await applied(stack, organisation, upstream.url)
        await applied(stack, organisation, upstream.url, "Two")
        url = f"{stack.url}/api/v1/organisations/{organisation}/playbooks/start/rollback"
        body = {"to": 1, "comment": "back", "expected": 2}
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}) as http:
            answers = await asyncio.gather(*(http.post(url, json=body) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        history = (await stack.cli_json("playbook", "history", name))["versions"]
        assert [line["version"] for line in history] == [3, 2, 1]


async def test_a_playbook_moves_to_another_organisation_with_its_history(stack: Stack, tmp_path: Path) -> None:
    async with running("echo") as upstream:
        here, there = fresh("org"), fresh("org")
        await applied(stack, here, upstream.url)
        await applied(stack, here, upstream.url, "Two", '["echo"]')
        await stack.cli("playbook", "undo", f"{here}/start", "-m", "too early")
        file = tmp_path / "start.json"
        await stack.cli("playbook", "export", f"{here}/start", "--out", str(file))
        await stack.cli("org", "create", there)
        words = ("playbook", "import", str(file), "--org", there, "--name", "moved", "-m", "we move")
        code, _, err = await stack.cli(*words, ok=False)
        assert (code, upstream.url in err, "not registered here" in err) == (1, True, True), "what it would connect to"
        words = (*words, "--register-servers")
        done = await stack.cli_json(*words)
        assert (done["version"], done["registered"]) == (3, ["echo"])

        old = (await stack.cli_json("playbook", "history", f"{here}/start"))["versions"]
        new = (await stack.cli_json("playbook", "history", f"{there}/moved"))["versions"]
        assert new == old, "who, when, why and every digest"
        changes = await stack.cli_json("playbook", "diff", f"{there}/moved@1", f"{there}/moved@2")
        assert paths(changes["changes"])["tool echo__mark"]["kind"] == "removed"
        token = await stack.token(there)
        call = {"name": "echo__echo", "arguments": {"text": "x"}}

        async def answered() -> bool:
            answer = await stack.rpc(stack.endpoint(there, "moved"), "tools/call", call, token)
            return "error" not in answer.json()

        await eventually(answered)  # its server was registered a moment ago
        await stack.cli("playbook", "rollback", f"{there}/moved", "--to", "2", "-m", "goes on here")
        code, _, err = await stack.cli(*words, ok=False)
        assert (code, "playbook.exists" in err) == (1, True)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"title": "One"', '"title": "Other"', "content of its digest"),
        (r"\"description\"", r"\"descriptiom\"", "definition"),
        ('"version": 2', '"version": 3', "comes version 3"),
        ("callboard-playbook-1", "callboard-playbook-9", "the format is"),
    ],
)
async def test_an_export_that_was_changed_is_not_imported(
    stack: Stack, tmp_path: Path, old: str, new: str, why: str
) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url)
        await applied(stack, organisation, upstream.url, "Two")
        file = tmp_path / "start.json"
        await stack.cli("playbook", "export", f"{organisation}/start", "--out", str(file))
        text = file.read_text()
        changed = text.replace(old, new)
        assert changed != text
        file.write_text(changed)
        words = ("playbook", "import", str(file), "--org", organisation, "--name", "again", "-m", "x")
        code, _, err = await stack.cli(*words, ok=False)
        assert (code, why in err) == (2, True), err
        # The gateway looks by itself too.
        url = f"{stack.url}/api/v1/organisations/{organisation}/playbooks/again/import"
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}) as http:
            answer = await http.post(url, json={"exported": json.loads(changed), "comment": "x"})
        assert (answer.status_code, why in answer.text) == (400, True), answer.text
