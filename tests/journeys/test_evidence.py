"""The log as evidence: exported, verified without Callboard, and anchored."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.support.names import fresh
from tests.support.stack import ROOT, Stack
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def some_history(stack: Stack) -> str:
    organisation = fresh("org")
    for text in ("Hello", "Good day", "Hello again"):
        prompts = f"{{hi: {{template: {text}}}}}"
        await stack.apply(f"version: 1\norganisation: {organisation}\nplaybooks: {{p: {{prompts: {prompts}}}}}\n", text)
    return organisation


async def by_script(*words: str | Path) -> tuple[int, str]:
    """The stand-alone script, with a Python that has no library of ours."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(ROOT / "bin" / "verify-export"), *map(str, words),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_an_exported_log_verifies_without_callboard_and_an_edited_one_does_not(
    stack: Stack, tmp_path: Path
) -> None:
    organisation = await some_history(stack)
    file = tmp_path / "log.jsonl"
    await stack.cli("audit", "export", "--org", organisation, "--out", str(file))
    code, said = await by_script(file)
    assert (code, f"intact: 4 events of {organisation}" in said) == (0, True)
    verdict = await stack.cli_json("audit", "verify", "--file", str(file))
    assert verdict["intact"] is True

    file.write_text(file.read_text().replace("Good day", "Good bye"))
    code, said = await by_script(file)
    assert (code, "event 3 was edited" in said) == (4, True)
    code, out, _ = await stack.cli("audit", "verify", "--file", str(file), ok=False)
    assert (code, "broken at 3" in out) == (4, True)


async def test_an_anchor_is_signed_and_the_log_is_compared_with_it(stack: Stack, tmp_path: Path) -> None:
    organisation = await some_history(stack)
    _, line, _ = await stack.cli("audit", "anchor", "--org", organisation)
    anchor = json.loads(line)
    assert anchor["seq"] == 4
    good, forged, foreign = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"
    good.write_text(line)
    await stack.cli("audit", "verify", "--anchor", str(good))

    forged.write_text(json.dumps({**anchor, "seq": 3}))
    code, _, err = await stack.cli("audit", "verify", "--anchor", str(forged), ok=False)
    assert (code, "signature" in err) == (2, True)
    other = await some_history(stack)
    foreign.write_text((await stack.cli("audit", "anchor", "--org", other))[1])
    code, _, err = await stack.cli("audit", "verify", "--org", organisation, "--anchor", str(foreign), ok=False)
    assert (code, "one organisation at a time" in err) == (2, True)

    file = tmp_path / "log.jsonl"
    await stack.cli("audit", "export", "--org", organisation, "--out", str(file))
    code, said = await by_script(file, good)
    assert (code, "anchor at event 4" in said) == (0, True)
    code, _ = await by_script(file, foreign)
    assert code == 4


async def test_an_export_never_overwrites_a_file(stack: Stack, tmp_path: Path) -> None:
    organisation = await some_history(stack)
    file = tmp_path / "log.jsonl"
    file.write_text("mine")
    code, _, err = await stack.cli("audit", "export", "--org", organisation, "--out", str(file), ok=False)
    assert (code, "cannot write" in err) == (2, True)
    assert file.read_text() == "mine"
    code, _, err = await stack.cli("audit", "verify", "--file", str(file), ok=False)
    assert (code, str(file) in err) == (2, True)
