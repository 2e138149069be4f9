"""The AsyncAPI 3.0 document of what analytics consumers read from the bus (https://www.asyncapi.com/docs/reference/specification/v3.0.0).

Payload schemas come from the contracts themselves, so the document cannot differ from what is sent.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from callboard.contracts import subjects
from callboard.contracts.calls import CallRecord
from callboard.contracts.events import PublishedEvent

_LINES: Final = {
    "contentType": "application/jsonl",
    "description": "One or more records, one per line (JSON Lines), of one subject; the payload is that of a line.",
}
_NAME: Final = "lower-case letters, digits, - and _"


def document(version: str) -> dict[str, Any]:
    """The document as plain data; `version` is Callboard's."""
    (record, event), schemas = msgspec.json.schema_components(
        [CallRecord, PublishedEvent], ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "id": "urn:callboard:bus",
        "info": {
            "title": "Callboard: calls and events",
            "version": version,
            "description": "What an analytics consumer reads from NATS; `callboard consumer add` makes credentials.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "{host}",
                "protocol": "nats",
                "variables": {"host": {"default": "127.0.0.1:4222", "description": "Host and port of NATS."}},
                "security": [{"$ref": "#/components/securitySchemes/credentials"}],
            }
        },
        "channels": {"calls": _calls(), "events": _events()},
        "operations": {name: _sends(name) for name in ("calls", "events")},
        "components": {
            "schemas": _plain_discriminators(schemas),
            "messages": {
                "CallRecord": _message("Finished calls, one per line", record) | _LINES,
                "PublishedEvent": _message("One event of the log", event),
            },
            "securitySchemes": {
                "credentials": {"type": "X509", "description": "A NATS .creds file: a signed JWT and an nkey seed."}
            },
        },
    }


def _calls() -> dict[str, Any]:
    return {
        "address": f"{subjects.RECORD}.{{organisation}}.{{playbook}}",
        "title": f"Call records (JetStream stream {subjects.STREAM_CALLS})",
        "parameters": {
            "organisation": {"description": f"The organisation: {_NAME}."},
            "playbook": {"description": f"The playbook: {_NAME}."},
        },
        "messages": {"CallRecord": {"$ref": "#/components/messages/CallRecord"}},
    }


def _events() -> dict[str, Any]:
    return {
        "address": f"{subjects.EVENT}.{{organisation}}.{{noun}}.{{fact}}",
        "title": f"Events of the log (JetStream stream {subjects.STREAM_EVENTS})",
        "description": "`noun.fact` is the type of the event, for example `playbook.rolled_back`.",
        "parameters": {
            "organisation": {"description": f"The organisation: {_NAME}."},
            "noun": {"description": "What it happened to.", "enum": _words(0)},
            "fact": {"description": "What happened.", "enum": _words(1)},
        },
        "messages": {"PublishedEvent": {"$ref": "#/components/messages/PublishedEvent"}},
    }


def _words(position: int) -> list[str]:
    union = msgspec.inspect.type_info(PublishedEvent)
    assert isinstance(union, msgspec.inspect.StructType)
    kinds = next(field.type for field in union.fields if field.name == "event")
    assert isinstance(kinds, msgspec.inspect.UnionType)
    tags = [str(kind.tag) for kind in kinds.types if isinstance(kind, msgspec.inspect.StructType)]
    return sorted({tag.split(".")[position] for tag in tags})


def _sends(channel: str) -> dict[str, Any]:
    return {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}}


def _message(summary: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "contentType": "application/json", "payload": payload}


def _plain_discriminators(value: Any) -> Any:
    """AsyncAPI's `discriminator` is the name of a property, where OpenAPI's (and msgspec's) is an object."""
    if isinstance(value, dict):
        plain = {key: _plain_discriminators(item) for key, item in value.items()}
        if isinstance(plain.get("discriminator"), dict):
            plain["discriminator"] = plain["discriminator"]["propertyName"]
        return plain
    return [_plain_discriminators(item) for item in value] if isinstance(value, list) else value
