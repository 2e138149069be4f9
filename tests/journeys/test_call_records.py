"""Every call knows its version: found, shown with the definition that answered it, recorded where wished, replayed."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.names import fresh
from tests.support.stack import Stack
from tests.support.upstreams.launch import running
from tests.support.waiting import PATIENCE, eventually

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
    {record}
"""
ALL = "record: {arguments: true, results: true}"


async def applied(
    stack: Stack, organisation: str, url: str, record: str = "", title: str = "One", allow: str = '["*"]'
) -> None:
    text = FILE.format(organisation=organisation, url=url, title=title, allow=allow, record=record)
    await stack.apply(text, f"to {title}")


async def call(stack: Stack, organisation: str, tool: str, arguments: dict[str, Any], token: str) -> Any:
    params = {"name": tool, "arguments": arguments}
    return (await stack.rpc(stack.endpoint(organisation, "start"), "tools/call", params, token)).json()


async def recorded(stack: Stack, organisation: str, count: int, *words: str) -> list[dict[str, Any]]:
    """The calls that `calls ls` prints, oldest first, when so many are there."""

    async def told() -> list[dict[str, Any]]:
        found = (await stack.cli_json("calls", "ls", "--org", organisation, *words))["calls"]
        assert len(found) == count
        return list(reversed(found))

    return await eventually(told)


async def test_which_definition_answered_a_call_is_one_command(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url)
        token = await stack.token(organisation, "reader")
        await call(stack, organisation, "echo__echo", {"text": "x"}, token)
        [found] = await recorded(stack, organisation, 1)

        _, out, err = await stack.cli("calls", "show", found["call_id"], "--org", organisation, "--definition")
        definition = json.loads(out)
        assert (definition["name"], definition["description"]) == ("echo", "Returns the text")
        assert f"tool echo of server echo, {found['digest']}" in err
        assert "called as echo__echo in start@1" in err
        whole = await stack.cli_json("calls", "show", found["call_id"], "--org", organisation, "--definition")
        assert whole["digest"] == found["digest"]


async def test_a_record_knows_who_what_how_long_at_each_hop_and_how_much_also_of_refused_calls(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url)
        token = await stack.token(organisation, "reader")
        await call(stack, organisation, "echo__echo", {"text": "x"}, token)
        await call(stack, organisation, "echo__echo", {"text": 5}, token)
        await call(stack, organisation, "echo__nothing", {}, token)
        await call(stack, organisation, "echo__rpc_error", {}, token)
        good, invalid, unknown, failed = await recorded(stack, organisation, 4)

        for record in (good, failed):
            assert record["router_us"] > 0
            assert record["connector_us"] > 0
            assert record["upstream_us"] > 0
            hops = record["router_us"] + record["connector_us"] + record["upstream_us"]
            assert hops <= record["total_us"]
        assert [record["outcome"] for record in (good, invalid, unknown, failed)] == [
            "ok",
            "refused",
            "refused",
            "error",
        ]
        assert (invalid["problem"], unknown["problem"]) == ("argument.invalid", "tool.unknown")
        assert (unknown["tool"], failed["error_code"]) == ("echo__nothing", -32000)
        for record in (good, invalid, unknown, failed):
            assert (record["client"], record["version"], record["era"]) == ("reader", 1, "2026-07-28")
            assert record["principal"]
            assert re.fullmatch("[0-9a-f]{32}", record["trace_id"])
            assert record["total_us"] > 0
            assert record["request_bytes"] > 0
            assert record["response_bytes"] > 0
        assert good["digest"] == invalid["digest"]
        assert good["digest"].startswith("sha256:")


async def test_calls_are_found_by_what_is_known_of_them_from_the_command_line(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url)
        tokens = {name: await stack.token(organisation, name) for name in ("ann", "bob")}
        for name, tool in (("ann", "echo__echo"), ("bob", "echo__echo"), ("bob", "echo__fail"), ("bob", "echo__none")):
            await call(stack, organisation, tool, {"text": name}, tokens[name])
        first, second, third, fourth = await recorded(stack, organisation, 4)

        async def ids(*words: str) -> list[str]:
            found = (await stack.cli_json("calls", "ls", "--org", organisation, *words))["calls"]
            return [record["call_id"] for record in reversed(found)]

        names = [record["call_id"] for record in (first, second, third, fourth)]
        assert await ids("--client", "ann") == names[:1]
        assert await ids("--tool", "echo__echo", "--client", "bob") == names[1:2]
        assert await ids("--outcome", "tool_error") == names[2:3]
        assert await ids("--outcome", "refused") == names[3:]
        assert await ids("--digest", first["digest"]) == names[:2]
        assert await ids("--trace", second["trace_id"]) == names[1:2]
        assert await ids("--principal", first["principal"]) == names[:1]
        assert await ids("--server", "echo") == names[:3]
        assert await ids("--playbook", "start@1") == names
        assert await ids("--playbook", "start@2") == []
        assert await ids("--slower-than", "60000") == []
        assert await ids("--since", "1h ago") == names
        assert await ids("--until", "1h ago") == []
        _, _, err = await stack.cli("calls", "ls", "--org", organisation, "--limit", "3")
        found = re.search(r"--cursor (\S+)", err)
        assert found is not None
        assert await ids("--cursor", found[1]) == names[:1]


async def test_a_playbook_that_does_not_record_keeps_nothing_of_what_was_said(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, canary = fresh("org"), f"canary{uuid.uuid4().hex}"
        await applied(stack, organisation, upstream.url)
        token = await stack.token(organisation)
        await call(stack, organisation, "echo__echo", {"text": canary}, token)
        [quiet] = await recorded(stack, organisation, 1)
        assert canary not in (await stack.cli("calls", "show", quiet["call_id"], "--org", organisation))[1]
        assert not _files_with(stack, canary)

        # The control: with `record` the same search finds it.
        await applied(stack, organisation, upstream.url, ALL, "Two")
        await call(stack, organisation, "echo__echo", {"text": canary}, token)
        _, loud = await recorded(stack, organisation, 2)
        shown = await stack.cli_json("calls", "show", loud["call_id"], "--org", organisation)
        assert shown["content"]["arguments"] == {"text": canary}
        assert shown["content"]["result"]["content"][0]["text"] == canary
        found = _files_with(stack, canary)
        assert found
        assert not [name for name in found if name.endswith(".log")], "it is in no log of a service"


def _files_with(stack: Stack, canary: str) -> list[str]:
    """The files below the data directory that hold it: database, JetStream, logs."""
    found = []
    for path in stack.directory.rglob("*"):
        try:
            if path.is_file() and canary.encode() in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue
    return found


async def test_what_is_recorded_is_redacted_and_bounded_and_a_change_of_the_rules_is_a_version(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation, canary = fresh("org"), f"canary{uuid.uuid4().hex}"
        rules = 'record: {arguments: true, results: true, redact: ["/arguments/phrase"], max_bytes: 2000}'
        await applied(stack, organisation, upstream.url)
        await applied(stack, organisation, upstream.url, rules)
        diff = await stack.cli_json("playbook", "diff", f"{organisation}/start@1")
        assert diff["changes"][0]["path"].startswith("record")
        token = await stack.token(organisation)
        arguments = {"text": f"password={canary}a", "phrase": f"{canary}b", "api_key": f"{canary}c"}
        await call(stack, organisation, "echo__echo", arguments, token)
        await call(stack, organisation, "echo__big", {"bytes": 5000}, token)
        small, big = await recorded(stack, organisation, 2)

        kept = (await stack.cli_json("calls", "show", small["call_id"], "--org", organisation))["content"]
        assert kept["arguments"] == {"text": "password=[redacted]", "phrase": "[redacted]", "api_key": "[redacted]"}
        assert canary not in json.dumps(kept)
        assert set(kept["redacted"]) >= {"/arguments/text", "/arguments/phrase", "/arguments/api_key"}
        assert not [name for name in _files_with(stack, f"{canary}b")]
        left = (await stack.cli_json("calls", "show", big["call_id"], "--org", organisation))["content"]
        assert (left["arguments"], left["omitted"], "result" in left) == ({"bytes": 5000}, ["result"], False)


async def test_recorded_calls_run_again_on_another_version_and_only_what_differs_is_told(
    stack: Stack, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    async with running("echo", "--ledger", ledger) as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url, ALL)
        await applied(stack, organisation, upstream.url, ALL, "Two", '["echo", "mark"]')
        token = await stack.token(organisation)
        pinned = stack.endpoint(organisation, "start@1")
        for tool, arguments in (("echo", {"text": "x"}), ("big", {"bytes": 9}), ("mark", {"text": "once"})):
            await stack.rpc(pinned, "tools/call", {"name": f"echo__{tool}", "arguments": arguments}, token)
        same, gone, unsafe = (record["call_id"] for record in await recorded(stack, organisation, 3))
        words = ("replay", "--last", "200", "--against", f"{organisation}/start@2")

        told = await stack.cli_json(*words)
        assert (told["same"], told["different"]) == (1, 1)
        assert [one["call_id"] for one in told["replayed"] if one["same"]] == [same]
        [other] = [one for one in told["replayed"] if not one["same"]]
        assert (other["call_id"], other["differences"][0]["path"]) == (gone, "tool")
        assert [one["call_id"] for one in told["skipped"]] == [unsafe]
        assert "--unsafe echo__mark" in told["skipped"][0]["why"]
        code, out, err = await stack.cli(*words, "--exit-code", ok=False)
        assert (code, gone in out, same in out) == (4, True, False)
        assert "2 replayed, 1 differ, 1 did not run" in err
        assert ledger.read_text() == "once\n"

        allowed = await stack.cli_json(
            "replay", unsafe, "--against", "@2", "--org", organisation, "--unsafe", "echo__mark"
        )
        assert allowed["same"] == 1
        assert ledger.read_text() == "once\nonce\n"


async def test_recorded_calls_run_on_a_file_before_it_is_published(stack: Stack, tmp_path: Path) -> None:
    async with running("echo", "--ledger", tmp_path / "ledger") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url, ALL)
        token = await stack.token(organisation)
        for tool, arguments in (("echo", {"text": "x"}), ("big", {"bytes": 9}), ("mark", {"text": "once"})):
            await call(stack, organisation, f"echo__{tool}", arguments, token)
        same, gone, unsafe = (record["call_id"] for record in await recorded(stack, organisation, 3))
        file = tmp_path / "next.yaml"

        def write(allow: str, server: str = "echo") -> None:
            text = FILE.format(organisation=organisation, url=upstream.url, title="Next", allow=allow, record=ALL)
            file.write_text(text.replace("      echo:", f"      {server}:"))

        words = ("replay", "--last", "200", f"{organisation}/start", "--against-file", str(file))
        write("[echo, mark]")
        told = await stack.cli_json(*words)
        assert [one["call_id"] for one in told["replayed"] if one["same"]] == [same]
        [other] = [one for one in told["replayed"] if not one["same"]]
        assert (other["call_id"], other["differences"][0]["path"], other["version"] < 0) == (gone, "tool", True)
        assert [one["call_id"] for one in told["skipped"]] == [unsafe]
        assert (tmp_path / "ledger").read_text() == "once\n"
        assert len((await stack.cli_json("playbook", "history", f"{organisation}/start"))["versions"]) == 1

        # Another version is published meanwhile: routers forget what they tried, and are told again.
        await applied(stack, organisation, upstream.url, ALL, "Two")
        told = await stack.cli_json(*words, "--unsafe", "echo__mark")
        assert (told["same"], told["different"], told["skipped"]) == (2, 1, [])
        await stack.cli("apply", "-f", str(file), "--draft", "-m", "next")
        told = await stack.cli_json(*words[:3], "--against-draft", f"{organisation}/start")
        assert (told["same"], [one["call_id"] for one in told["replayed"] if not one["same"]]) == (1, [gone])
        code, _, err = await stack.cli(*words[:3], f"{organisation}/other", *words[4:], ok=False)
        assert (code, "name one of them" in err) == (2, True)
        write("[echo]", server="ghost")
        code, _, err = await stack.cli(*words, ok=False)
        assert (code, "'ghost', which is not registered" in err) == (2, True), err


async def test_a_result_that_is_another_one_now_is_shown_where_it_differs(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        for tool in ("echo", "fail"):
            await applied(stack, organisation, upstream.url, ALL, tool, f"[{tool}], rename: {{{tool}: ask}}")
        token = await stack.token(organisation)
        pinned = stack.endpoint(organisation, "start@1")
        await stack.rpc(pinned, "tools/call", {"name": "echo__ask", "arguments": {"text": "x"}}, token)
        [first] = await recorded(stack, organisation, 1)

        told = await stack.cli_json("replay", first["call_id"], "--against", "@2", "--org", organisation)
        [one] = told["replayed"]
        assert (one["outcome_before"], one["outcome_after"], one["compared"]) == ("ok", "tool_error", "result")
        shown = {difference["path"]: difference for difference in one["differences"]}
        assert shown["/content/0/text"] == {"path": "/content/0/text", "before": "x", "after": "failed as asked"}
        ignored = ("--ignore", "/content/**", "--ignore", "/isError")
        told = await stack.cli_json("replay", first["call_id"], "--against", "@2", "--org", organisation, *ignored)
        assert told["same"] == 1
        await stack.cli("replay", first["call_id"], "--against", "@1", "--org", organisation, "--exit-code")


async def test_replays_are_marked_are_no_agent_s_calls_and_are_not_replayed(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url, ALL)
        await applied(stack, organisation, upstream.url, ALL, "Two", '["mark"]')
        token = await stack.token(organisation, "reader")
        pinned = stack.endpoint(organisation, "start@1")
        await stack.rpc(pinned, "tools/call", {"name": "echo__echo", "arguments": {"text": "x"}}, token)
        [first] = await recorded(stack, organisation, 1)
        await stack.cli("replay", first["call_id"], "--against", "@1", "--org", organisation)

        _, again = await recorded(stack, organisation, 2)
        assert again["replay_of"] == first["call_id"]
        assert (again["client"] != "reader", "replay_of" in first) == (True, False)
        diff = await stack.cli_json("playbook", "diff", f"{organisation}/start@1", f"{organisation}/start@2")
        [line] = [change for change in diff["changes"] if change["path"] == "tool echo__echo"]
        assert line["callers"] == [{"client": "reader", "calls": 1}]
        told = await stack.cli_json("replay", "--last", "10", "--against", f"{organisation}/start@1")
        assert [one["call_id"] for one in told["replayed"]] == [first["call_id"]]
        code, _, err = await stack.cli("replay", again["call_id"], "--against", "@1", "--org", organisation, ok=False)
        assert (code, "it is itself a replay" in err) == (1, True)
        await call(stack, organisation, "echo__nothing", {}, token)
        [_, _, _, refused] = await recorded(stack, organisation, 4)
        words = ("replay", refused["call_id"], "--against", "@1", "--org", organisation)
        code, _, err = await stack.cli(*words, ok=False)
        assert (code, "it was refused and never ran (tool.unknown)" in err) == (1, True)


async def test_calls_without_their_arguments_are_not_replayed_and_the_reason_is_said(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url)
        token = await stack.token(organisation)
        await call(stack, organisation, "echo__echo", {"text": "x"}, token)
        await applied(stack, organisation, upstream.url, ALL, "Two")
        await call(stack, organisation, "echo__echo", {"text": "x", "password": "y"}, token)
        quiet, secret = await recorded(stack, organisation, 2)
        for record, reason in (
            (quiet, "were not recorded: start@1 keeps none"),
            (secret, "redacted at /arguments/password"),
        ):
            code, _, err = await stack.cli(
                "replay", record["call_id"], "--against", "@2", "--org", organisation, ok=False
            )
            assert (code, reason in err) == (1, True), err
        code, _, err = await stack.cli("replay", secret["call_id"], "--against", "@9", "--org", organisation, ok=False)
        assert code == 1


async def test_only_who_manages_a_playbook_replays_its_calls(stack: Stack) -> None:
    async with running("echo") as upstream:
        organisation = fresh("org")
        await applied(stack, organisation, upstream.url, ALL)
        token = await stack.token(organisation, "reader", "--scope", "use", "--scope", "read")
        await call(stack, organisation, "echo__echo", {"text": "x"}, token)
        [found] = await recorded(stack, organisation, 1)
        url = f"{stack.url}/api/v1/organisations/{organisation}/playbooks/start/replays"
        for bearer, status in ((token, 403), (stack.admin_token, 200)):
            async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}, timeout=PATIENCE) as http:
                answer = await http.post(url, json={"call_id": found["call_id"], "version": 1})
            assert answer.status_code == status, answer.text
