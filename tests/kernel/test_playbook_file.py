from __future__ import annotations

import pytest

from callboard.kernel.playbook_file import FileRefused, parse

GOOD = """\
version: 1
organisation: acme
servers:
  time:
    command: [mcp-server-time]
  web:
    url: http://127.0.0.1:3200/mcp
    headers: {X-Api-Key: {secret: web-key}}
playbooks:
  start:
    servers:
      time: {}
      web:
        names: bare
        tools: {allow: ["a*"], deny: [b], rename: {a: z}, describe: {a: "A"}}
    prompts:
      sum:
        arguments: [{name: count, required: true}]
        template: "Sum up {{count}}."
"""


def test_a_good_file_is_read_whole() -> None:
    file = parse(GOOD)
    assert file.organisation == "acme"
    assert list(file.servers) == ["time", "web"]
    assert file.playbooks["start"].servers["web"].tools.rename == {"a": "z"}
    assert file.line_of(("playbooks", "start", "servers", "web", "nowhere")) == 13


@pytest.mark.parametrize(
    ("url", "transport", "websocket"),
    [
        ("http://x/mcp", "auto", False),
        ("https://x/mcp", "streamable", False),
        ("https://x/sse", "sse", False),
        ("ws://x/mcp", "auto", True),
        ("WSS://x:99/mcp", "websocket", True),
    ],
)
def test_a_url_may_say_what_is_spoken_at_it(url: str, transport: str, websocket: bool) -> None:
    file = parse(GOOD.replace("http://127.0.0.1:3200/mcp", f"{url}\n    transport: {transport}"))
    definition = file.servers["web"]
    assert (definition.url, definition.transport, definition.is_websocket) == (url, transport, websocket)


def refused(text: str) -> list[tuple[int, str]]:
    with pytest.raises(FileRefused) as error:
        parse(text, "f.yaml")
    assert str(error.value).startswith("f.yaml:")
    return [(fault.line, fault.message) for fault in error.value.faults]


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ("version: 1", "version: 2", 1, "version"),
        ("organisation: acme", "organisation: Ac.me", 2, "organisation"),
        ("command: [mcp-server-time]", "comand: [x]", 5, "comand"),
        ("command: [mcp-server-time]", "command: []", 5, "command"),
        ("command: [mcp-server-time]", "command: mcp-server-time", 5, "array"),
        ("command: [mcp-server-time]", "command: [x]\n    url: http://x", 4, "either"),
        ("http://127.0.0.1:3200/mcp", "ftp://x/mcp", 7, "http"),
        ("http://127.0.0.1:3200/mcp", "http://user:pw@x/mcp", 7, "password"),
        ("{secret: web-key}", "{secrets: web-key}", 8, "secret"),
        ("http://127.0.0.1:3200/mcp", "http://x/mcp\n    transport: soap", 8, "soap"),
        ("http://127.0.0.1:3200/mcp", "ws://x/mcp\n    transport: sse", 8, "sse needs an http or https URL"),
        ("http://127.0.0.1:3200/mcp", "wss://x/mcp\n    transport: streamable", 8, "needs an http or https URL"),
        ("http://127.0.0.1:3200/mcp", "http://x/mcp\n    transport: websocket", 8, "needs a ws or wss URL"),
        ("http://127.0.0.1:3200/mcp", "wss:///mcp", 7, "not an http, https, ws or wss URL"),
        ("command: [mcp-server-time]", "command: [x]\n    transport: sse", 6, "goes with `url`"),
        ("X-Api-Key", "Upgrade", 8, "set by Callboard"),
        ("X-Api-Key", "Sec-WebSocket-Key", 8, "set by Callboard"),
        ('allow: ["a*"]', "allow: [1]", 15, "str"),
        ("rename: {a: z}", "rename: {a: z, c: z}", 15, "renamed"),
        ("names: bare", 'names: "a b"', 14, "names"),
        ("{{count}}", "{{cuont}}", 19, "cuont"),
        ("playbooks:", "playbook:", 9, "playbook"),
        ("  start:", "  Start:", 10, "lower-case"),
        ("      time: {}", "      time: {}\n      time: {}", 13, "twice"),
        ("playbooks:", "playbooks: [", 11, "YAML"),
        ("deny: [b]", 'deadlines: {"a*": {idle_seconds: 30, max_seconds: 20}}', 15, "longer than"),
        ("deny: [b]", "deadlines: {a: {idle_seconds: 0}}", 15, "more than 0"),
        ("deny: [b]", "deadlines: {a: {max_seconds: -1}}", 15, "more than 0"),
        ("deny: [b]", "deadlines: {a: {max_seconds: .inf}}", 15, "at most 86400"),
        ("deny: [b]", "deadlines: {a: {max_seconds: .nan}}", 15, "at most 86400"),
        ("deny: [b]", "deadlines: {a: {max_seconds: 100000}}", 15, "at most 86400"),
        ("deny: [b]", "deadlines: {a: {max: 5}}", 15, "max"),
        ("deny: [b]", "deadlines: {a: {}}", 15, "idle_seconds"),
        ("deny: [b]", "deadlines: {a: 5}", 15, "object"),
        ("deny: [b]", "deadlines: {a: {max_seconds: long}}", 15, "float"),
        ("command: [mcp-server-time]", "command: [x]\n    deadlines: {max_seconds: 0}", 6, "more than 0"),
        ("command: [mcp-server-time]", "command: [x]\n    deadlines: {}", 6, "idle_seconds"),
        (
            "command: [mcp-server-time]",
            "command: [x]\n    deadline_seconds: 5\n    deadlines: {idle_seconds: 2}",
            6,
            "leave one out",
        ),
        ("names: bare", "names: prefix with spaces", 14, "names"),
        ("names: bare", f"names: {'x' * 49}", 14, "at most 48"),
    ],
)
def test_every_fault_is_named_with_its_line(old: str, new: str, line: int, word: str) -> None:
    faults = refused(GOOD.replace(old, new))
    assert faults[0][0] == line, faults
    assert word in " ".join(message for _, message in faults)


def test_all_faults_are_told_at_once() -> None:
    assert len(refused("version: 3\norganisation: 7\nserverz: {}\n")) == 3


@pytest.mark.parametrize("text", ["", "- a\n", "text", "a: &x [*x]\n", "\x00", "a: !!python/object:os.system x\n"])
def test_what_is_not_a_callboard_file_is_refused_and_nothing_else_happens(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("http://127.0.0.1:3200/mcp", "http://[::1", "URL"),
        ("http://127.0.0.1:3200/mcp", "http://x:99999/mcp", "URL"),
        ("X-Api-Key:", "Bad Name:", "header"),
        ("X-Api-Key:", "Content-Length:", "set by Callboard"),
        ("rename: {a: z}", 'rename: {a: "x y"}', "renamed"),
        ("command: [mcp-server-time]", 'command: [x]\n    env: {"A=B": c}', "environment"),
        ("command: [mcp-server-time]", 'command: ["x\\0"]', "NUL"),
        ("count, required: true", 'count, description: "a\\ud800b"', "plain value"),
    ],
)
def test_what_could_never_work_is_refused(old: str, new: str, word: str) -> None:
    assert old in GOOD
    assert word in " ".join(message for _, message in refused(GOOD.replace(old, new)))


def test_aliases_are_refused_before_they_are_expanded() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{n}: &{n} [*{p}, *{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert any("aliases" in message for _, message in refused(bomb))
