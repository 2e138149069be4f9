from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from callboard.cli.main import main
from callboard.contracts import subjects
from callboard.contracts.calls import CallRecord
from callboard.contracts.events import Event, OrganisationCreated, PublishedEvent
from tests.support.node_tools import asyncapi_schema


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["asyncapi"]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def payload_validator(document: dict[str, Any], message: str) -> jsonschema_rs.Validator:
    components = {"schemas": without_discriminators(document["components"]["schemas"])}
    payload = document["components"]["messages"][message]["payload"]
    return jsonschema_rs.validator_for({**payload, "components": components})


def without_discriminators(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_discriminators(item) for key, item in value.items() if key != "discriminator"}
    return [without_discriminators(item) for item in value] if isinstance(value, list) else value


def test_the_document_is_valid_asyncapi(document: dict[str, Any]) -> None:
    schema = json.loads(asyncapi_schema().read_text())
    errors = [str(error) for error in jsonschema_rs.validator_for(schema).iter_errors(document)]
    assert errors == []


def test_a_record_as_it_is_sent_matches_its_payload_schema(document: dict[str, Any]) -> None:
    record = CallRecord(
        call_id="1",
        organisation="acme",
        playbook="start",
        version=1,
        method="tools/call",
        server="time",
        tool="time__now",
        upstream_name="now",
        digest="sha256:0",
        client="agent",
        principal="k",
        era="2026-07-28",
        outcome="ok",
        started_at=datetime.now(UTC),
    )
    sent = json.loads(msgspec.json.encode(record))
    assert payload_validator(document, "CallRecord").is_valid(sent)
    assert not payload_validator(document, "CallRecord").is_valid({**sent, "outcome": "splendid"})


def test_calls_are_lines_and_events_are_not(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    kinds = [messages[name]["contentType"] for name in ("CallRecord", "PublishedEvent")]
    assert kinds == ["application/jsonl", "application/json"]
    assert "one per line" in messages["CallRecord"]["description"]


def test_an_event_as_it_is_sent_matches_its_payload_schema(document: dict[str, Any]) -> None:
    event = PublishedEvent(
        organisation="acme",
        seq=1,
        event_id="e",
        stream="organisation-acme",
        version=1,
        recorded_at=datetime.now(UTC),
        actor="a",
        comment="",
        event=OrganisationCreated(organisation="acme"),
    )
    sent = json.loads(msgspec.json.encode(event))
    assert payload_validator(document, "PublishedEvent").is_valid(sent)
    assert not payload_validator(document, "PublishedEvent").is_valid({**sent, "event": {"type": "no.such_event"}})


def test_every_subject_we_publish_to_is_an_address_of_a_channel(document: dict[str, Any]) -> None:
    def pattern(channel: str) -> re.Pattern[str]:
        address = document["channels"][channel]["address"]
        return re.compile(re.sub(r"\\\{\w+\\\}", "[a-z0-9_-]+", re.escape(address)))

    assert pattern("calls").fullmatch(subjects.record("acme", "start"))
    for event in Event.__args__:  # type: ignore[attr-defined]  # a union of structs
        tag = event.__struct_config__.tag
        assert pattern("events").fullmatch(subjects.event("acme", tag))
        noun, fact = tag.split(".")
        parameters = document["channels"]["events"]["parameters"]
        assert noun in parameters["noun"]["enum"]
        assert fact in parameters["fact"]["enum"]
