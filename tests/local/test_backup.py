"""A backup of a running Callboard, restored elsewhere: the log goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("backup"), pytest.mark.timeout(180)]

FILE = """\
version: 1
organisation: acme
servers: {{echo: {{url: "{url}"}}}}
playbooks: {{p: {{title: {title}, servers: {{echo: {{}}}}}}}}
"""


class Saved:
    """A backup, and what was true when it was made."""

    def __init__(self, file: Path, key: Path, told: dict[str, Any], url: str, export: Path) -> None:
        self.file = file
        self.export = export
        self.key = key
        self.told = told
        self.url = url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("backup")
    async with running("echo") as upstream, running_stack(place / "data") as stack:
        await stack.apply(FILE.format(url=upstream.url, title="One"), "first")
        await stack.apply(FILE.format(url=upstream.url, title="Two"), "second")
        token = await stack.token("acme")
        await stack.cli("token", "issue", "ann", "--person", "--org", "acme")
        await stack.cli("secret", "set", "key", "--org", "acme", stdin="value\n")
        await stack.rpc(stack.endpoint("acme", "p"), "tools/call", {"name": "echo__echo"}, token)

        async def recorded() -> Any:
            return (await stack.cli_json("calls", "ls", "--org", "acme"))["calls"]

        calls = await eventually(recorded)
        file = place / "callboard.backup"
        manifest = await stack.cli_json("backup", str(file))
        key = place / "vault.key"
        shutil.copy(stack.directory / "keys" / "vault.key", key)
        history = await stack.cli_json("playbook", "history", "acme/p")
        told = {"manifest": manifest, "history": history, "calls": calls, "token": token}
        export = place / "later.jsonl"
        await stack.cli("erase", "acme", "ann", "-m", "asked to, after the backup")
        await stack.cli("audit", "export", "--org", "acme", "--out", str(export))
        await stack.stop()
        yield Saved(file, key, told, upstream.url, export)


async def restored(saved: Saved, directory: Path, *more: str) -> Stack:
    """A stack that does not run, for its command line; the backup is in its data directory."""
    directory.mkdir()
    (directory / "keys").mkdir(mode=0o700)
    directory.chmod(0o700)
    shutil.copy(saved.key, directory / "keys" / "vault.key")
    (directory / "keys" / "vault.key").chmod(0o600)
    stack = Stack(directory, 0, 1, None)  # type: ignore[arg-type]
    await stack.cli("restore", str(saved.file), *more)
    return stack


async def test_a_restored_log_is_the_same_and_goes_on_where_it_stopped(saved: Saved, tmp_path: Path) -> None:
    await restored(saved, tmp_path / "data", "--erasures", str(saved.export))
    async with running_stack(tmp_path / "data", arguments=()) as stack:
        [ann] = (await stack.cli_json("person", "ls", "--org", "acme"))["persons"]
        assert (ann["name"], ann["erased_at"] is None) == ("", False), "the later log says whom it erased"
        assert await stack.cli_json("playbook", "history", "acme/p") == saved.told["history"]
        assert (await stack.cli_json("calls", "ls", "--org", "acme"))["calls"] == saved.told["calls"]
        listed = await stack.rpc(stack.endpoint("acme", "p"), "tools/list", {}, saved.told["token"])
        assert "echo__echo" in {tool["name"] for tool in listed.json()["result"]["tools"]}
        names = [line["organisation"] for line in (await stack.cli_json("org", "ls"))["organisations"]]
        assert "acme" in names
        assert "demo" not in names, "what was restored is what there is"
        before = saved.told["manifest"]["heads"]["acme"][0]
        applied = await stack.apply(FILE.format(url=saved.url, title="Three"), "after the restore")
        assert applied["seq"] > before
        verdict = await stack.cli_json("audit", "verify", "--org", "acme")
        assert verdict["intact"]
        assert verdict["chains"][0]["seq"] == applied["seq"]


async def test_a_list_of_erasures_that_is_none_restores_nothing(saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    stack = Stack(tmp_path / "data", 0, 1, None)  # type: ignore[arg-type]
    cut = tmp_path / "cut.jsonl"
    lines = saved.export.read_bytes().splitlines(keepends=True)
    cut.write_bytes(b"".join(lines[: len(lines) // 2] + lines[len(lines) // 2 + 1 :]))
    for file, why in ((tmp_path / "nowhere", "cannot read"), (cut, "broken at event")):
        code, _, err = await stack.cli("restore", str(saved.file), "--erasures", str(file), ok=False)
        assert (code, why in err) == (2, True), err
    assert not list((tmp_path / "data").iterdir())


async def test_a_database_that_holds_a_log_is_not_restored_into(saved: Saved, tmp_path: Path) -> None:
    stack = await restored(saved, tmp_path / "data")
    code, _, err = await stack.cli("restore", str(saved.file), ok=False)
    assert (code, "not empty" in err) == (1, True)


def cut_off(data: bytes) -> bytes:
    return data[: len(data) // 2]


def another_manifest(**changes: Any) -> Callable[[Path, Path], None]:
    def write(source: Path, target: Path) -> None:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "manifest.json":
                    content = json.dumps({**json.loads(content), **changes}).encode()
                new.writestr(name, content)

    return write


def another_table(**changes: Any) -> Callable[[Path, Path], None]:
    def write(source: Path, target: Path) -> None:
        with zipfile.ZipFile(source) as old:
            tables = json.loads(old.read("manifest.json"))["tables"]
        tables["log_head"] |= changes
        another_manifest(tables=tables)(source, target)

    return write


def another_event(source: Path, target: Path) -> None:
    """An edit by somebody who also mends the manifest: only the chain can tell."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        manifest = json.loads(old.read("manifest.json"))
        changed = old.read("event.copy").replace(b"second", b"SECOND", 1)
        manifest["tables"]["event"] |= {"sha256": hashlib.sha256(changed).hexdigest(), "bytes": len(changed)}
        for name in old.namelist():
            content = {"manifest.json": json.dumps(manifest).encode(), "event.copy": changed}.get(name, old.read(name))
            new.writestr(name, content)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda source, target: target.write_bytes(cut_off(source.read_bytes())), "no backup"),
        (lambda source, target: target.write_bytes(b"hello"), "no backup"),
        (another_manifest(format="callboard-backup-9"), "callboard-backup-9"),
        (another_manifest(migrations=["9999_future.sql"]), "newer than this one"),
        (another_manifest(heads={"acme": [99, "00"]}), "not those that its manifest names"),
        (another_manifest(heads={}), "not those that its manifest names"),
        (
            another_manifest(days=["x(); COPY (SELECT 1) TO PROGRAM 'touch pwned'; select $z$ --"]),
            "no readable manifest",
        ),
        (another_event, "is broken at"),
        (another_table(columns=["organisation", "seq", 'hash") from stdin; --']), "that no such table has"),
        (another_table(bytes=1), "larger than the manifest says"),
    ],
    ids=[
        *(
            "cut off",
            "no zip",
            "another format",
            "from the future",
            "shortened",
            "without heads",
            "statements for a day",
        ),
        *("edited", "statements for a column", "more than it says"),
    ],
)
async def test_what_is_not_the_backup_that_was_made_restores_nothing(
    saved: Saved, tmp_path: Path, spoil: Callable[[Path, Path], None], why: str
) -> None:
    bad = tmp_path / "bad.backup"
    spoil(saved.file, bad)
    (tmp_path / "data").mkdir(mode=0o700)
    stack = Stack(tmp_path / "data", 0, 1, None)  # type: ignore[arg-type]
    code, _, err = await stack.cli("restore", str(bad), ok=False)
    assert (code, why in err, "nothing was restored" in err) == (1, True, True), err


async def test_a_backup_never_overwrites_a_file_and_is_for_its_owner_only(saved: Saved, tmp_path: Path) -> None:
    assert saved.file.stat().st_mode & 0o077 == 0
    stack = await restored(saved, tmp_path / "data")
    code, _, err = await stack.cli("backup", str(saved.file), ok=False)
    assert (code, "cannot write" in err) == (2, True)
    again = tmp_path / "again.backup"
    manifest = await stack.cli_json("backup", str(again), "--no-calls")
    assert manifest["heads"] == saved.told["manifest"]["heads"]
    assert "call" not in manifest["tables"]
