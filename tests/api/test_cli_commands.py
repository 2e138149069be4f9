from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.stack import Stack
from tests.support.upstreams.launch import command
from tests.support.waiting import PATIENCE, eventually

FILE = """
version: 1
organisation: {organisation}
servers:
  echo:
    command: {echo}
  every:
    command: {everything}
playbooks:
  p:
    servers:
      echo: {{}}
      every: {{names: bare}}
"""


@pytest.fixture
def name() -> str:
    return f"c{os.urandom(4).hex()}"


def file_text(organisation: str) -> str:
    echo = json.dumps(command("echo", "--stdio"))
    everything = json.dumps(command("everything", "--transport", "stdio"))
    return FILE.format(organisation=organisation, echo=echo, everything=everything)


async def test_prompts_and_resources_are_listed_and_read(installation: Stack, name: str) -> None:
    await installation.apply(file_text(name))
    prompts = await installation.cli_json("prompts", "ls", f"{name}/p")
    assert "test_prompt_with_arguments" in {prompt["name"] for prompt in prompts}
    words = ("prompts", "get", f"{name}/p", "test_prompt_with_arguments", "--arg", "arg1=one", "--arg", "arg2=two")
    _, out, err = await installation.cli(*words)
    assert "one" in out
    assert "[user]" in err
    found = await installation.cli_json("resources", "ls", f"{name}/p")
    assert "test://static-text" in {resource["uri"] for resource in found["resources"]}
    assert found["resourceTemplates"]
    _, out, _ = await installation.cli("resources", "read", f"{name}/p", "test://static-text")
    assert out.strip()
    code, out, err = await installation.cli("resources", "read", f"{name}/p", "test://none", ok=False)
    assert (code, out) == (1, "")
    assert err.startswith("callboard: ")


async def test_progress_is_talk_and_the_result_is_data(installation: Stack, name: str) -> None:
    await installation.apply(file_text(name))
    words = ("tools", "call", f"{name}/p", "echo__progress", "--json-args", '{"steps": 3, "interval": 0}')
    _, out, err = await installation.cli(*words)
    assert re.findall(r"^progress (\d)", err, re.MULTILINE) == ["1", "2", "3"]
    assert "progress 1" not in out
    code, out, _ = await installation.cli("tools", "call", f"{name}/p", "echo__fail", ok=False)
    assert code == 1
    code, _, err = await installation.cli("tools", "call", f"{name}/p", "echo__none", ok=False)
    assert code == 1
    assert "Unknown tool" in err


async def test_what_is_retired_is_gone_and_its_history_stays(installation: Stack, name: str) -> None:
    await installation.apply(file_text(name))
    code, _, err = await installation.cli("server", "rm", f"{name}/echo", "-m", "old", ok=False)
    assert (code, "server.in_use" in err) == (1, True)
    await installation.cli("playbook", "rm", f"{name}/p", "-m", "old")
    await installation.cli("server", "rm", f"{name}/echo", "-m", "old")
    _, out, _ = await installation.cli("playbook", "ls", "--org", name)
    assert out == ""
    history = await installation.cli_json("playbook", "history", f"{name}/p")
    assert history["versions"][-1]["version"] == 1
    servers = (await installation.cli_json("server", "ls", "--org", name))["servers"]
    assert [server["server"] for server in servers] == ["every"]


async def test_a_dry_run_of_a_new_organisation_makes_nothing(installation: Stack, name: str) -> None:
    file = installation.directory / f"{name}.yaml"
    file.write_text(file_text(name))
    code, out, err = await installation.cli("apply", "-f", str(file), "--dry-run", "--exit-code", ok=False)
    assert code == 4
    assert "playbook p: would publish version 1" in out
    assert "would be created" in err
    names = [line["organisation"] for line in (await installation.cli_json("org", "ls"))["organisations"]]
    assert name not in names


async def test_a_file_can_come_from_stdin(installation: Stack, name: str) -> None:
    text = f"version: 1\norganisation: {name}\nplaybooks: {{p: {{prompts: {{hi: {{template: Hi}}}}}}}}\n"
    await installation.cli("apply", "-f", "-", "-m", "why", stdin=text)
    code, _, err = await installation.cli("apply", "-f", "-", "-m", "why", stdin="version: 2\n", ok=False)
    assert (code, err.startswith("<stdin>:1: ")) == (2, True)


async def test_a_watched_file_is_applied_when_it_changes_and_a_bad_one_changes_nothing(
    installation: Stack, name: str
) -> None:
    file, errors = installation.directory / f"{name}.yaml", installation.directory / f"{name}.err"

    def save(prompt: str) -> None:
        """As editors do: another file in its place."""
        new = file.with_suffix(".new")
        new.write_text(f"version: 1\norganisation: {name}\nplaybooks: {{p: {{prompts: {{{prompt}}}}}}}\n")
        new.replace(file)

    async def comments() -> list[str]:
        try:
            history = await installation.cli_json("playbook", "history", f"{name}/p")
        except AssertionError:
            return []  # not there yet
        return [line["comment"] for line in history["versions"]]

    save("a: {template: A}")
    words = ("apply", "--watch", str(file), "--data-dir", str(installation.directory))
    callboard = str(Path(sys.executable).with_name("callboard"))
    with errors.open("wb") as err:
        watching = await asyncio.create_subprocess_exec(callboard, *words, stdout=subprocess.DEVNULL, stderr=err)
    try:
        await eventually(lambda: _has(comments, [f"{name}.yaml changed"]))
        save("b: {")
        await eventually(lambda: "nothing was applied" in errors.read_text())
        save("b: {template: B}")
        await eventually(lambda: _has(comments, [f"{name}.yaml changed"] * 2))
    finally:
        watching.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(watching.wait(), PATIENCE)

    assert code == 130
    assert f"{file}:" in errors.read_text()


async def _has(found: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> bool:
    return await found() == wanted


async def test_a_fault_that_only_the_router_sees_has_its_line_too(installation: Stack, name: str) -> None:
    file = installation.directory / f"{name}.yaml"
    file.write_text(f"version: 1\norganisation: {name}\nplaybooks:\n  p:\n    servers:\n      ghost: {{}}\n")
    code, out, err = await installation.cli("apply", "-f", str(file), "-m", "why", ok=False)
    assert (code, out) == (2, "")
    assert f"{file}:6: " in err


async def test_several_organisations_want_to_be_chosen_from(installation: Stack, name: str) -> None:
    await installation.cli("org", "create", name)
    await installation.cli("org", "create", f"{name}-2")
    code, _, err = await installation.cli("playbook", "ls", ok=False)
    assert code == 2
    assert f"{name}-2" in err


async def test_a_token_is_alone_on_stdout_and_expires_when_it_should(installation: Stack, name: str) -> None:
    await installation.cli("org", "create", name)
    words = ("token", "issue", "bot", "--org", name, "--playbook", "p", "--expires", "2h")
    _, out, err = await installation.cli(*words)
    assert re.fullmatch(r"cbk_\w{46}\n", out)
    assert out.strip() not in err
    (line,) = (await installation.cli_json("token", "ls", "--org", name))["tokens"]
    assert line["client"] == "bot"
    assert line["expires_at"]
    code, _, err = await installation.cli("token", "issue", "x", "--org", name, "--expires", "soon", ok=False)
    assert (code, "30d" in err) == (2, True)


async def test_a_secret_comes_from_stdin_and_never_from_the_command_line(installation: Stack, name: str) -> None:
    await installation.cli("org", "create", name)
    await installation.cli("secret", "set", "key", "--org", name, stdin="s3cret\n")
    _, out, err = await installation.cli("secret", "ls", "--org", name)
    assert "key" in out
    assert "s3cret" not in out + err
    code, _, _ = await installation.cli("secret", "set", "key", "--org", name, ok=False)
    assert code == 2
    await installation.cli("secret", "rm", "key", "--org", name)
    code, _, err = await installation.cli("secret", "rm", "key", "--org", name, ok=False)
    assert (code, "secret.unknown" in err) == (1, True)


async def test_credentials_of_a_consumer_go_into_a_file_of_ones_own(
    installation: Stack, name: str, tmp_path: Path
) -> None:
    await installation.cli("org", "create", name)
    path = tmp_path / "reader.creds"
    words = ("consumer", "add", "reader", "--org", name, "--out", str(path))
    _, out, err = await installation.cli(*words)
    assert out.strip() == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "SEED" in path.read_text()
    assert "SEED" not in out + err
    await installation.cli("consumer", "rm", "reader", "--org", name)
    assert (await installation.cli_json("consumer", "ls", "--org", name))["consumers"] == []


async def test_an_event_is_shown_by_its_number_and_by_its_id(installation: Stack, name: str) -> None:
    await installation.cli("org", "create", name)
    first = await installation.cli_json("events", "show", f"{name}:1")
    event_id = first["event"]["event_id"]
    code, out, _ = await installation.cli("events", "show", event_id, "--org", name)
    missing = await installation.cli("events", "show", f"{name}:99", ok=False)

    assert (first["event"]["seq"], first["event_type"], first["prev_hash"]) == (1, "organisation.created", "00" * 32)
    assert code == 0
    assert f"{name}:1  {event_id}" in out
    assert first["hash"] in out
    assert missing[0] != 0
    assert "event.unknown" in missing[2]


async def test_a_tail_ends_after_the_number_asked_for(installation: Stack, name: str) -> None:
    await installation.cli("org", "create", name)
    tail = asyncio.create_task(installation.cli("events", "tail", "--org", name, "--count", "2", "--json"))
    number = 0
    async with asyncio.timeout(PATIENCE):
        while not tail.done():
            number += 1
            await installation.cli("secret", "set", f"s{number}", "--org", name, stdin="v")
    _, out, _ = await tail
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"]["type"] for event in events] == ["secret.stored"] * 2
    assert events[1]["seq"] == events[0]["seq"] + 1
