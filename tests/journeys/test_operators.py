"""What an operator does with the command line, against one and against two of every service."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import nats
import pytest
from nats.aio.msg import Msg

from callboard.contracts.calls import record_lines
from tests.support.names import fresh
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually, promised, settled

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


def file(organisation: str, url: str, title: str = "One", allow: str = '["*"]') -> str:
    return FILE.format(organisation=organisation, url=url, title=title, allow=allow)


async def test_applying_the_same_file_twice_changes_nothing_and_says_so(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        first = await stack.apply(file(organisation, upstream.url))
        assert first["changed"] is True
        assert {line["action"] for line in first["plan"]} == {"register", "publish"}
        again = await stack.apply(file(organisation, upstream.url))
        assert again["changed"] is False
        assert {line["action"] for line in again["plan"]} == {"unchanged"}
        path = stack.directory / "same.yaml"
        path.write_text(file(organisation, upstream.url))
        _, out, err = await stack.cli("apply", "-f", str(path), "-m", "x")
        assert "nothing changed" in (out + err).lower()


async def test_a_dry_run_shows_the_difference_and_changes_nothing(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await stack.apply(file(organisation, upstream.url))
        planned = await stack.planned(file(organisation, upstream.url, allow='["echo"]'))
        changes = [change["path"] for line in planned["plan"] for change in line["changes"]]
        assert "tool echo__mark" in changes
        history = await stack.cli_json("playbook", "history", f"{organisation}/start")
        assert len(history["versions"]) == 1


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("version: 1\norganisation: x\nservers:\n  a: {comand: [x]}\n", 4, "comand"),
        ("version: 1\norganisation: x\nplaybooks:\n  p:\n    servers:\n      nowhere: {}\n", 6, "nowhere"),
    ],
)
async def test_a_bad_file_is_refused_whole_with_file_line_and_reason(
    stack: Stack, text: str, line: int, word: str
) -> None:
    organisation = fresh("org")
    path = stack.directory / f"{organisation}.yaml"
    path.write_text(text.replace("organisation: x", f"organisation: {organisation}"))
    code, _, err = await stack.cli("apply", "-f", str(path), "-m", "x", ok=False)
    assert code == 2
    assert f"{path.name}:{line}: " in err
    assert word in err


async def test_history_show_diff_and_rollback_tell_who_and_why(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await stack.apply(file(organisation, upstream.url), "first")
        await stack.apply(file(organisation, upstream.url, "Two", '["echo"]'), "narrower")
        one = await stack.cli_json("playbook", "show", f"{name}@1")
        two = await stack.cli_json("playbook", "show", f"{name}@2")
        assert one["content"]["definition"]["title"] == "One"
        assert list(two["content"]["tools"]) == ["echo__echo"]
        changes = await stack.cli_json("playbook", "diff", f"{name}@1", f"{name}@2")
        assert {"kind": "removed", "path": "tool echo__mark"}.items() <= _line(changes, "tool echo__mark").items()
        back = await stack.cli_json("playbook", "rollback", name, "--to", "1", "-m", "too narrow")
        assert (back["version"], back["to_version"]) == (3, 1)
        three = await stack.cli_json("playbook", "show", f"{name}@3")
        assert three["content"] == one["content"]
        assert three["line"]["content_digest"] == one["line"]["content_digest"]
        history = (await stack.cli_json("playbook", "history", name))["versions"]
        assert [line["version"] for line in history] == [3, 2, 1]
        assert [line["comment"] for line in history] == ["too narrow", "narrower", "first"]
        assert {line["actor"].split("/")[0] for line in history} == {"administrator"}


def _line(diff: dict[str, Any], path: str) -> dict[str, Any]:
    return next(change for change in diff["changes"] if change["path"] == path)


async def test_a_rollback_without_a_reason_or_to_nowhere_is_refused(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await stack.apply(file(organisation, upstream.url))
        code, _, err = await stack.cli(
            "playbook", "rollback", f"{organisation}/start", "--to", "9", "-m", "x", ok=False
        )
        assert code == 1
        assert "no version 9" in err


async def test_tools_are_listed_and_called_from_the_command_line(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await stack.apply(file(organisation, upstream.url))
        listed = await stack.cli_json("tools", "ls", f"{organisation}/start")
        names = [tool["name"] for tool in (listed["tools"] if isinstance(listed, dict) else listed)]
        assert "echo__echo" in names
        _, out, _ = await stack.cli("tools", "call", f"{organisation}/start", "echo__echo", "--arg", "text=hello")
        assert "hello" in out


async def test_every_call_is_in_the_live_tail_and_in_the_call_log_with_its_version(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await stack.apply(file(organisation, upstream.url))
        token = await stack.token(organisation)
        tail = await asyncio.create_subprocess_exec(
            *_callboard(stack, "calls", "tail", "--org", organisation, "--json"), stdout=asyncio.subprocess.PIPE
        )
        try:
            url = stack.endpoint(organisation, "start")

            async def tailed() -> bool:
                await stack.rpc(url, "tools/call", {"name": "echo__echo", "arguments": {"text": "x"}}, token)
                assert tail.stdout is not None
                try:
                    line = await asyncio.wait_for(asyncio.shield(first), 1)
                except TimeoutError:
                    return False
                record = json.loads(line)
                assert (record["tool"], record["version"], record["outcome"]) == ("echo__echo", 1, "ok")
                assert record["digest"].startswith("sha256:")
                return True

            assert tail.stdout is not None
            first = asyncio.ensure_future(tail.stdout.readline())
            await eventually(tailed)
        finally:
            tail.terminate()
            await tail.wait()

        async def logged() -> bool:
            calls = await stack.cli_json("calls", "ls", "--org", organisation)
            return len(calls["calls"]) >= 1

        await eventually(logged, every=0.5)


def _callboard(stack: Stack, *words: str) -> list[str]:
    import sys
    from pathlib import Path

    return [str(Path(sys.executable).with_name("callboard")), *words, "--data-dir", str(stack.directory)]


async def test_status_names_every_service_server_and_projection(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await stack.apply(file(organisation, upstream.url))

        async def complete() -> bool:
            status = await stack.cli_json("status")
            instances = status["instances"] if isinstance(status, dict) else status
            rooms = [instance["room"] for instance in instances]
            servers = [s for i in instances for s in i.get("servers", []) if s["organisation"] == organisation]
            projections = {p["projection"] for i in instances for p in i.get("projections", [])}
            return (
                all(rooms.count(room) == stack.replicas for room in set(rooms))
                and len(set(rooms)) == 5
                and any(server["state"] == "ONLINE" for server in servers)
                and {"playbooks", "servers", "relay", "call_log"} <= projections
            )

        await eventually(complete, every=0.3)


async def test_the_audit_chain_verifies_and_a_projection_is_rebuilt(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await stack.apply(file(organisation, upstream.url))
        verdict = await stack.cli_json("audit", "verify", "--org", organisation)
        assert verdict["intact"] is True
        rebuilt = await stack.cli_json("projection", "rebuild", "playbooks")
        assert rebuilt["state"] == "done"
        history = await stack.cli_json("playbook", "history", f"{organisation}/start")
        assert len(history["versions"]) == 1


async def test_doctor_finds_a_healthy_installation(stack: Stack) -> None:
    _, out, _ = await stack.cli("doctor", "--json")
    assert json.loads(out)


async def test_an_analytics_consumer_reads_its_own_organisation_and_goes_on_where_it_stopped(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, other = fresh("org"), fresh("org")
        for name in (organisation, other):
            await stack.apply(file(name, upstream.url))
        admitted = await stack.cli_json("consumer", "add", "warehouse", "--org", organisation)
        creds = stack.directory / f"{organisation}.creds"
        creds.write_text(admitted["credentials"])
        durables = admitted["durables"]
        (events,) = [pair for subject, pair in durables.items() if subject.startswith("cb.evt.")]
        (calls,) = [pair for subject, pair in durables.items() if subject.startswith("cb.calls.")]
        link = (admitted["url"], str(creds), admitted["inbox_prefix"])
        first = await _read(*link, events, 1)
        assert first[0]["organisation"] == organisation
        more = await _read(*link, events, 1)
        assert more[0]["seq"] == first[0]["seq"] + 1
        token, other_token = await stack.token(organisation), await stack.token(other)
        url = stack.endpoint(organisation, "start")
        await stack.rpc(url, "tools/call", {"name": "echo__echo", "arguments": {"text": "x"}}, token)
        (record,) = await _read(*link, calls, 1)
        assert (record["organisation"], record["tool"]) == (organisation, "echo__echo")

        async def calls_in_both() -> None:
            for name, key in ((other, other_token), (organisation, token)):
                at = stack.endpoint(name, "start")
                await stack.rpc(at, "tools/call", {"name": "echo__echo", "arguments": {"text": "x"}}, key)

        assert await _hears_live(*link, calls_in_both) == {organisation}


async def _read(url: str, creds: str, inbox: str, durable: list[str], count: int) -> list[dict[str, Any]]:
    """One run of the consumer: connect, read, acknowledge, disconnect."""
    client = await nats.connect(url, user_credentials=creds, inbox_prefix=inbox)
    try:
        stream, name = durable
        subscription = await client.jetstream().pull_subscribe_bind(name, stream)
        found = []
        for message in await subscription.fetch(count, timeout=PATIENCE):
            found += map(json.loads, record_lines(message.data))
            await message.ack_sync()
        return found
    finally:
        await client.close()


async def _hears_live(url: str, creds: str, inbox: str, call: Callable[[], Awaitable[object]]) -> set[str]:
    """What a consumer hears that subscribes to everything: organisations of the call records and events."""
    heard: set[str] = set()
    client = await nats.connect(url, user_credentials=creds, inbox_prefix=inbox)

    async def note(message: Msg) -> None:
        heard.update(json.loads(line)["organisation"] for line in record_lines(message.data))

    try:
        for subject in ("cb.calls.>", "cb.evt.>"):
            await client.subscribe(subject, cb=note)
        await settled(client)

        async def something() -> bool:
            await call()
            return bool(heard)

        await eventually(something, every=0.2)
        return heard
    finally:
        await client.close()


async def test_a_revoked_token_is_refused_at_every_edge_within_two_seconds(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await stack.apply(file(organisation, upstream.url))
        issued = await stack.cli_json("token", "issue", "agent", "--org", organisation)
        urls = [stack.endpoint(organisation, "start", edge) for edge in range(stack.replicas)]
        for url in urls:
            assert (await stack.rpc(url, "tools/list", token=issued["token"])).status_code == 200
        await stack.cli("token", "revoke", issued["key_id"], "--org", organisation)

        async def refused() -> bool:
            answers = [await stack.rpc(url, "tools/list", token=issued["token"]) for url in urls]
            return all(answer.status_code == 401 for answer in answers)

        await promised(refused, within=2)


async def test_a_token_opens_nothing_of_another_organisation(stack: Stack) -> None:
    async with running("echo") as upstream:
        mine, theirs = fresh("org"), fresh("org")
        for name in (mine, theirs):
            await stack.apply(file(name, upstream.url))
        token = await stack.token(mine)
        assert (await stack.rpc(stack.endpoint(theirs, "start"), "tools/list", token=token)).status_code == 403
        assert (await stack.rpc(stack.endpoint("nobody", "start"), "tools/list", token=token)).status_code == 403
        assert (await stack.rpc(stack.endpoint(mine, "start"), "tools/list")).status_code == 401
        assert (await stack.rpc(stack.endpoint(mine, "none"), "tools/list", token=token)).status_code == 404


async def test_a_secret_reaches_the_server_and_stands_nowhere_else(stack: Stack) -> None:
    secret = fresh("very-secret")
    async with running("echo") as upstream:
        organisation = fresh("org")
        await stack.cli("org", "create", organisation)
        await stack.cli("secret", "set", "key", "--org", organisation, stdin=secret)
        text = f"""
            version: 1
            organisation: {organisation}
            servers:
              echo: {{url: "{upstream.url}", headers: {{X-Api-Key: {{secret: key}}}}}}
            playbooks:
              start: {{servers: {{echo: {{}}}}}}
            """
        await stack.apply(textwrap.dedent(text))
        token = await stack.token(organisation)
        answer = await stack.rpc(
            stack.endpoint(organisation, "start"),
            "tools/call",
            {"name": "echo__echo", "arguments": {"text": "x"}},
            token,
        )
        assert answer.status_code == 200
        shown = await stack.cli_json("server", "ls", "--org", organisation)
        assert secret not in json.dumps(shown)
        for log in (stack.directory / "logs").glob("*.log"):
            assert secret not in log.read_text(errors="replace"), log


async def _rollback(stack: Stack, name: str, to: int, key: str) -> httpx2.Response:
    organisation, playbook = name.split("/")
    url = f"{stack.url}/api/v1/organisations/{organisation}/playbooks/{playbook}/rollback"
    headers = {"Authorization": f"Bearer {stack.admin_token}", "Idempotency-Key": key}
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        return await http.post(url, json={"to": to, "comment": f"to {to}"}, headers=headers)


async def test_rollbacks_that_race_are_each_answered_with_the_version_they_made(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await stack.apply(file(organisation, upstream.url))
        await stack.apply(file(organisation, upstream.url, "Two"))
        answers = await asyncio.gather(
            *(_rollback(stack, name, 1 + n % 2, f"race-{organisation}-{n}") for n in range(16))
        )
        history = (await stack.cli_json("playbook", "history", name))["versions"]
        digests = {line["version"]: line["content_digest"] for line in history}
        assert [line["version"] for line in history] == list(range(len(history), 0, -1))
        made = [answer.json() for answer in answers if answer.status_code == 200 and answer.json()["seq"]]
        assert len({answer["version"] for answer in made}) == len(made) == len(history) - 2
        assert all(digests[answer["version"]] == answer["content_digest"] for answer in made)


async def test_a_command_that_changed_nothing_changes_nothing_when_it_is_repeated(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        name = f"{organisation}/start"
        await stack.apply(file(organisation, upstream.url))
        await stack.apply(file(organisation, upstream.url, "Two"))
        key = f"noop-{organisation}"
        assert (await _rollback(stack, name, 2, key)).json()["seq"] == 0
        await stack.cli("playbook", "rollback", name, "--to", "1", "-m", "somebody else")
        assert (await _rollback(stack, name, 2, key)).json()["seq"] == 0
        assert (await _rollback(stack, name, 1, key)).status_code == 409
        history = (await stack.cli_json("playbook", "history", name))["versions"]
        assert [line["version"] for line in history] == [3, 2, 1]


async def test_a_version_whose_server_is_gone_is_not_rolled_back_to(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        text = file(organisation, upstream.url)
        await stack.apply(text)
        without = {
            "version": 1,
            "organisation": organisation,
            "playbooks": {"start": {"prompts": {"hi": {"template": "hi"}}}},
        }
        applied = await stack.apply(json.dumps(without), "no server", "--prune")
        assert {"server echo": "retire"}.items() <= {p["subject"]: p["action"] for p in applied["plan"]}.items()
        words = ("playbook", "rollback", f"{organisation}/start", "--to", "1", "-m", "back")
        code, _, err = await stack.cli(*words, ok=False)
        assert code == 1
        assert "echo" in err
