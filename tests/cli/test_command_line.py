from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from callboard.cli.arguments import tool_arguments
from callboard.cli.failures import explain
from callboard.cli.main import main
from callboard.cli.output import Output
from callboard.cli.parser import OUTCOMES, build_parser
from callboard.cli.refusals import Refused, WrongUsage
from callboard.client import Unreachable
from callboard.contracts.calls import Outcome
from callboard.contracts.problems import Problem
from tests.support.waiting import PATIENCE

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"type": ["string", "number"]},
        "list": {"type": "array"},
    },
}


@pytest.fixture(autouse=True)
def _no_callboard_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CALLBOARD_URL", "CALLBOARD_TOKEN", "CALLBOARD_ORG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    assert main(words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_help_comes_at_once_and_explains_the_exit_codes() -> None:
    words, took = [sys.executable, "-m", "callboard.cli.main", "--help"], []
    for _ in range(3):
        before = os.times()
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE)
        after = os.times()
        took.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert "3  Callboard cannot be reached" in done.stdout
    # 0.05 s on a quiet machine; heavy imports would cost more than this. Its own work, and the best of three: what else
    # runs here makes that dearer too.
    assert min(took) < 0.5


def test_help_imports_nothing_heavy() -> None:
    script = "import sys; from callboard.cli.parser import build_parser; build_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert {"httpx2", "nats", "asyncpg", "msgspec", "rich", "yaml"} & set(done.stdout.split()) == set()


def test_every_outcome_of_a_call_can_be_asked_for() -> None:
    assert get_args(Outcome) == OUTCOMES


def leaves() -> list[list[str]]:
    def walk(parser: object, words: list[str]) -> list[list[str]]:
        groups = [a for a in parser._actions if hasattr(a, "choices") and isinstance(a.choices, dict)]  # type: ignore[attr-defined]
        if not groups:
            return [words]
        return [leaf for name, sub in groups[0].choices.items() for leaf in walk(sub, [*words, name])]

    return walk(build_parser(), [])


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_command_explains_itself_and_takes_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "exit codes:" in text


@pytest.mark.parametrize("words", [[], ["no-such"], ["playbook"], ["run", "kitchen"], ["apply", "-m", "x"]])
def test_wrong_usage_is_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_without_an_address_the_command_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "CALLBOARD_URL" in refused(capsys, 2, "status")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Problem("file.invalid", "playbook 'p' uses server 'x', which is not registered"), 2),
        (Problem("policy.invalid", "arguments[0]: no pattern"), 2),
        (Problem("playbook.unknown", "there is no playbook"), 1),
        (Refused("the database is not empty"), 1),
        (WrongUsage("there is no file x"), 2),
        (Unreachable("http://127.0.0.1:9 does not answer"), 3),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_accepted_is_exit_code_2_whoever_finds_that_out(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(error) == code
    assert str(error) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--otlp", "127.0.0.1:4318"), "like http://127.0.0.1:4318"),
        (("--otlp", "http://127.0.0.1:4318", "--trace-share", "1.5"), "a number from 0 to 1"),
    ],
)
def test_a_collector_that_cannot_be_one_starts_nothing(
    words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert why in refused(capsys, 2, "up", "--data-dir", str(tmp_path / "data"), *words)
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_was_never_started_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "admin.env" in refused(capsys, 2, "status", "--data-dir", str(tmp_path))


def test_nobody_listening_is_exit_code_3(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_URL", "http://127.0.0.1:9")
    told = refused(capsys, 3, "status")
    assert "http://127.0.0.1:9 does not answer" in told
    assert "callboard up" in told


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://"])
def test_an_address_that_is_none_is_exit_code_3(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_URL", url)
    assert "is not an http or https URL" in refused(capsys, 3, "status")


def test_a_bad_file_is_refused_with_every_line_before_anybody_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("version: 2\norganisation: Acme\nservers:\n  time: {command: [], url: 'http://x'}\nextra: 1\n")
    told = refused(capsys, 2, "apply", "-f", str(file), "-m", "why")
    lines = told.strip().splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "2", "4", "4", "5"]
    assert all(line.startswith(f"{file}:") for line in lines)


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"a: [1,\n", 2), (b"- 1\n", 1), (b"version: 1\nversion: 1\n", 2)],
    ids=["not-yaml", "not-a-mapping", "key-twice"],
)
def test_a_file_that_is_no_callboard_file_is_refused_at_its_line(
    content: bytes, line: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    assert refused(capsys, 2, "apply", "-f", str(file), "-m", "why").startswith(f"{file}:{line}: ")


def test_a_file_that_cannot_be_read_is_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "No such file" in refused(capsys, 2, "apply", "-f", "missing.yaml", "-m", "why")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in refused(capsys, 2, "apply", "-f", "binary.yaml", "-m", "why")


@pytest.mark.parametrize("words", [["--watch", "-"], ["--watch", "f.yaml", "--exit-code"], ["--watch", "missing"]])
def test_what_cannot_be_watched_is_refused_at_once(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, 2, "apply", *words)


def test_applying_wants_a_reason_unless_every_playbook_of_the_file_waives_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "callboard.yaml"
    file.write_text("version: 1\norganisation: acme\nplaybooks:\n  p: {prompts: {a: {template: t}}}\n")
    assert "-m WHY" in refused(capsys, 2, "apply", "-f", str(file))
    file.write_text(file.read_text().replace("{prompts", "{comments: optional, prompts"))
    assert "say which Callboard" in refused(capsys, 2, "apply", "-f", str(file))


def test_what_acts_on_a_terminal_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;pwn\x07 \u202eleft\u200b \r gone"
    Output(False).text(evil)
    Output(False).talk(evil)
    Output(False).table(["name"], [[evil], ["größe 世界 🎉"]])
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert not {"\x1b", "\x07", "\u202e", "\u200b", "\r"} & set(text)
        assert "\\u{1b}]0;pwn\\u{7}" in text
    assert "größe 世界 🎉" in printed.out


def test_version_is_data_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    printed = capsys.readouterr()
    assert "callboard" in json.loads(printed.out)
    assert printed.err == ""


def test_doctor_without_an_installation_finds_nothing_bad(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = {finding["check"]: finding["state"] for finding in json.loads(capsys.readouterr().out)}
    assert checks["nats-server"] == checks["postgres"] == "ok"
    assert checks["services"] == "warning"


def test_doctor_finds_keys_that_others_can_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    keys = tmp_path / ".callboard" / "keys"
    keys.mkdir(parents=True, mode=0o700)
    keys.parent.chmod(0o700)
    (keys / "vault.key").write_bytes(b"0" * 32)
    (keys / "vault.key").chmod(0o644)
    assert main(["doctor"]) == 4
    told = capsys.readouterr().out
    assert "vault.key" in told
    assert "chmod -R go-rwx" in told


def test_arguments_become_what_the_schema_says() -> None:
    texts = ["text=7", "count=7", "maybe=null", "either=7", "list=[1]", "unknown=7"]
    assert tool_arguments(texts, "{}", SCHEMA) == {
        "text": "7",
        "count": 7,
        "maybe": None,
        "either": 7,
        "list": [1],
        "unknown": "7",
    }


def test_single_arguments_win_over_the_json_ones() -> None:
    assert tool_arguments(["text=b=c"], '{"text": "a", "count": 1}', SCHEMA) == {"text": "b=c", "count": 1}


@pytest.mark.parametrize(
    ("texts", "json_text"),
    [(["count=seven"], "{}"), (["count"], "{}"), (["=1"], "{}"), ([], "{"), ([], "[1]")],
    ids=["not-a-number", "no-equals-sign", "no-key", "not-json", "not-an-object"],
)
def test_arguments_that_cannot_be_meant_are_refused(texts: list[str], json_text: str) -> None:
    with pytest.raises(WrongUsage):
        tool_arguments(texts, json_text, SCHEMA)
