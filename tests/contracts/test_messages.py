"""Golden bytes: what was ever written must be readable for ever, and what is written now must not change by accident.

A new message or event adds a line to its golden file (`python -m tests.contracts.golden` prints what is missing);
an existing line never changes.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from callboard.contracts import (
    access,
    access_events,
    assignments,
    calls,
    drafts,
    drift,
    events,
    layers,
    oauth_server,
    people,
    personal,
    plans,
    playbooks,
    policies,
    policy_events,
    previews,
    records,
    refusals,
    sign_in_events,
    status,
    upcasts,
    upstream_sign_in,
    upstreams,
    vault,
    webhooks,
)
from callboard.contracts.upcasts import read_event
from tests.contracts.golden import GOLDEN_EVENTS, GOLDEN_HEADS, GOLDEN_RECORDS, all_events, all_heads, all_records

HERE = Path(__file__).parent


@pytest.mark.parametrize("line", GOLDEN_EVENTS.read_text().splitlines())
def test_every_event_that_was_ever_written_is_still_read(line: str) -> None:
    tag, version, payload = line.split("\t")
    assert events.type_of(read_event(tag, int(version), payload)) == tag


def test_every_event_is_written_with_the_bytes_it_always_had() -> None:
    golden = {line.split("\t")[0]: line.split("\t")[2] for line in GOLDEN_EVENTS.read_text().splitlines()}
    for event in all_events():
        assert golden[events.type_of(event)] == events.encode_event(event).decode()


def test_every_schema_version_ever_written_has_golden_bytes_and_a_way_to_the_newest() -> None:
    golden = {tuple(line.split("\t")[:2]) for line in GOLDEN_EVENTS.read_text().splitlines()}
    tags = {events.type_of(event) for event in all_events()}
    assert golden == {(tag, str(n)) for tag in tags for n in range(1, upcasts.CURRENT.get(tag, 1) + 1)}
    assert set(upcasts.UPCASTS) == {(tag, n) for tag, newest in upcasts.CURRENT.items() for n in range(1, newest)}


def test_an_old_event_is_read_by_way_of_every_version_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the word for a server had changed twice."""
    monkeypatch.setitem(upcasts.CURRENT, "server.retired", 3)
    steps = {1: lambda data: {**data, "name": data.pop("called")}, 2: lambda data: {**data, "server": data.pop("name")}}
    for number, step in steps.items():
        monkeypatch.setitem(upcasts.UPCASTS, ("server.retired", number), step)
    git = events.ServerRetired(server="git")
    for number, word in enumerate(("called", "name", "server"), 1):
        payload = f'{{"type":"server.retired","{word}":"git"}}'
        assert read_event("server.retired", number, payload) == git
    with pytest.raises(msgspec.ValidationError):
        read_event("server.retired", 3, '{"type":"server.retired","called":"git"}')


def test_every_event_type_has_golden_bytes() -> None:
    assert {type(event) for event in all_events()} == set(events.Event.__args__)


def test_the_heads_of_the_call_path_have_the_bytes_they_always_had() -> None:
    golden = dict(line.split("\t") for line in GOLDEN_HEADS.read_text().splitlines())
    for head in all_heads():
        assert golden[type(head).__name__] == msgspec.msgpack.encode(head).hex()


def test_a_head_of_an_older_process_is_still_read() -> None:
    for line in GOLDEN_HEADS.read_text().splitlines():
        name, packed = line.split("\t")
        kind = getattr(calls, name.split()[0])
        head = msgspec.msgpack.decode(bytes.fromhex(packed), type=kind)
        assert getattr(head, kind.__struct_fields__[0]) == ("se" if kind is calls.PostedHead else "id")


def test_call_records_have_the_bytes_they_always_had() -> None:
    golden = GOLDEN_RECORDS.read_text().splitlines()
    for record, line in zip(all_records(), golden, strict=True):
        assert calls.encode_record(record).decode() == line
        assert calls.decode_record(line) == record


def test_a_message_of_call_records_has_one_on_each_line_and_a_single_one_is_its_bytes() -> None:
    records = [msgspec.structs.replace(record, tool="a\nb\r\u2028") for record in all_records()]
    lines = [calls.encode_record(record) for record in records]
    for message in (b"\n".join(lines), b"\n".join(lines) + b"\n"):
        assert [calls.decode_record(line) for line in calls.record_lines(message)] == records
    assert calls.record_lines(lines[0]) == [lines[0]]
    assert calls.record_lines(b"") == [b""]


def test_a_frame_gives_back_its_head_and_body() -> None:
    unframes = (calls.unframe_rpc, calls.unframe_call, calls.unframe_reply, calls.unframe_posted)
    for head, unframe in zip(all_heads(), unframes, strict=True):
        assert unframe(calls.frame(head, b'{"a":1}')) == (head, b'{"a":1}')


@pytest.mark.parametrize(("size", "count"), [(0, 1), (10, 1), (11, 2), (30, 3), (31, 4)])
def test_a_long_answer_is_cut_and_nothing_of_it_is_lost(size: int, count: int) -> None:
    body = bytes(range(size))
    cut = [calls.unframe_reply(data) for data in calls.frames(calls.ReplyHead("c", calls.RESULT), body, 10)]
    assert len(cut) == count
    assert b"".join(part for _, part in cut) == body
    assert [head.kind for head, _ in cut] == [calls.CHUNK] * (count - 1) + [calls.RESULT]


def test_every_command_and_answer_is_frozen_and_has_a_tag_of_its_own() -> None:
    tags: dict[object, type] = {}
    for module in (
        access,
        access_events,
        assignments,
        drafts,
        drift,
        layers,
        oauth_server,
        people,
        personal,
        plans,
        playbooks,
        policies,
        policy_events,
        previews,
        records,
        refusals,
        sign_in_events,
        status,
        upstream_sign_in,
        upstreams,
        vault,
        webhooks,
        events,
        calls,
    ):
        own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
        for value in own:
            if not (isinstance(value, type) and issubclass(value, msgspec.Struct)):
                continue
            config = value.__struct_config__
            assert config.frozen, value
            if config.tag is not None:
                assert config.tag not in tags, f"{value} and {tags.get(config.tag)} share a tag"
                tags[config.tag] = value
