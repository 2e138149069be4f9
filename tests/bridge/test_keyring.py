"""The token of an endpoint in the keyring of the desktop: kept, used, forgotten, and never shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bridge.desktops import CALLBOARD, plain
from tests.bridge.scripted import Seen, scripted

ROOT = Path(__file__).parents[2]
TOKEN = "cbk_not-to-be-seen"
HEADLESS = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}


@pytest.fixture
def desktop(tmp_path: Path) -> dict[str, str]:
    """The environment of a desktop with a keyring."""
    return {
        "PYTHONPATH": str(ROOT),
        "PYTHON_KEYRING_BACKEND": "tests.bridge.file_keyring.FileKeyring",
        "FILE_KEYRING": str(tmp_path / "keyring.json"),
    }


def run(url: str, words: list[str], environment: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [CALLBOARD, "bridge", url, *words],
        env={"PATH": "/usr/bin:/bin", **environment},
        cwd="/",
        input=stdin,
        capture_output=True,
        timeout=30,
        text=True,
    )
    assert done.stdout == ""
    assert TOKEN not in done.stderr
    return done


async def open_to_anybody(one: Seen) -> None:
    one.json(200, result={})


async def wants_a_token(one: Seen) -> None:
    one.raw(401, b"")


async def test_a_stored_token_is_used_for_its_url_until_it_is_forgotten(desktop: dict[str, str]) -> None:
    async with scripted(open_to_anybody) as http:
        assert run(http.url, ["--store-token"], desktop, f"{TOKEN}\n").returncode == 0
        for url, sent in ((http.url, f"Bearer {TOKEN}"), (f"{http.url}/other", None)):
            async with plain(url, "", **desktop) as client:
                client.ask(1, "tools/list")
                await client.answer(1)
                assert http.seen[-1].headers.get("authorization") == sent
                assert TOKEN.encode() not in client.errors
        async with plain(http.url, "cbk_of-the-environment", **desktop) as client:
            client.ask(1, "tools/list")
            await client.answer(1)
            assert http.seen[-1].headers["authorization"] == "Bearer cbk_of-the-environment"
        assert "forgotten" in run(http.url, ["--forget-token"], desktop).stderr
        assert "had no token" in run(http.url, ["--forget-token"], desktop).stderr
        async with plain(http.url, "", **desktop) as client:
            client.ask(1, "tools/list")
            await client.answer(1)
            assert "authorization" not in http.seen[-1].headers
            assert b"going on without a token" in client.errors


@pytest.mark.parametrize("given", ["", "  \n", "two words\n", "caf\u00e9\n"])
def test_what_cannot_be_a_token_is_not_stored(desktop: dict[str, str], given: str) -> None:
    done = run("http://127.0.0.1:1/mcp", ["--store-token"], desktop, given)
    assert done.returncode == 2
    assert not Path(desktop["FILE_KEYRING"]).exists()


def test_on_a_machine_without_a_keyring_it_is_said_what_to_do() -> None:
    done = run("http://127.0.0.1:1/mcp", ["--store-token"], HEADLESS, TOKEN)
    assert done.returncode == 1
    assert "this machine has no keyring; set CALLBOARD_TOKEN or use --token-file" in done.stderr


def test_without_the_package_it_is_said_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "keyring.py").write_text("raise ImportError")
    done = run("http://127.0.0.1:1/mcp", ["--store-token"], {"PYTHONPATH": str(tmp_path)}, TOKEN)
    assert done.returncode == 1
    assert "callboard[keyring]" in done.stderr


def test_a_keyring_that_fails_is_told_without_its_words(desktop: dict[str, str]) -> None:
    broken = {**desktop, "PYTHON_KEYRING_BACKEND": "tests.bridge.file_keyring.BrokenKeyring"}
    done = run("http://127.0.0.1:1/mcp", ["--forget-token"], broken)
    assert done.returncode == 1
    assert "did not answer (ValueError)" in done.stderr
    assert "s3cret" not in done.stderr


async def test_an_endpoint_that_wants_a_token_says_so_when_there_is_none() -> None:
    async with scripted(wants_a_token) as http, plain(http.url, "", **HEADLESS) as client:
        client.ask(1, "tools/list")
        error = (await client.answer(1))["error"]
        assert "wants a token, and there is none" in error["message"]
        assert b"this machine has no keyring" in client.errors
        assert client.faults == []


def test_a_token_is_no_word_of_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "callboard.cli.main", "bridge", "--help"], capture_output=True, text=True
    )
    assert "--token " not in done.stdout
    assert "--store-token " in done.stdout
