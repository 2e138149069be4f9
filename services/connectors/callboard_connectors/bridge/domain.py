"""An `input_required` result of a stateless upstream, as questions to a handshake client and back; pure.

Source: MCP 2026-07-28, basic/multi round-trip requests. Questions and answers keep the bytes they have.
"""

from __future__ import annotations

import msgspec

from callboard_connectors.transports.envelope import NOTHING, encode

MAX_ROUNDS = 16
"""How often an upstream may come back with more questions within one call."""
_CAPABILITY = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}
_ITS_OWN = frozenset({*_CAPABILITY.values(), "extensions", "tasks"})


class InputRequest(msgspec.Struct):
    """One question: a request that the upstream wants put to the client."""

    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


class InputRequired(msgspec.Struct, rename="camel"):
    """The questions of one round, by their keys, and the state to bring back."""

    input_requests: dict[str, InputRequest] = {}
    request_state: msgspec.Raw = NOTHING


class _Kind(msgspec.Struct, rename="camel"):
    result_type: str = ""


class ClientAnswer(msgspec.Struct):
    """What a client answered: one of the two is empty."""

    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


_kind = msgspec.json.Decoder(_Kind).decode
_required = msgspec.json.Decoder(InputRequired).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
client_answer = msgspec.json.Decoder(ClientAnswer).decode


def input_required(result: bytes) -> InputRequired | None:
    """The questions in a result; None for a result that is complete. Raises `msgspec.DecodeError`."""
    if b"input_required" not in result or _kind(result).result_type != "input_required":
        return None
    return _required(result)


def capability_of(method: str) -> str:
    """The client capability that a question needs; empty for one that no client can be asked."""
    return _CAPABILITY.get(method, "")


def declared(capabilities: bytes) -> frozenset[str]:
    """The names of the capabilities a client declared."""
    try:
        return frozenset(_fields(capabilities))
    except msgspec.DecodeError:
        return frozenset()


def speaks_for_itself(capabilities: bytes) -> bool:
    """Whether a client declared anything that a server may ask it for, or that changes what a server does for it."""
    return not declared(capabilities).isdisjoint(_ITS_OWN)


def question(token: str, asked: InputRequest) -> bytes:
    """A question as the request that the client gets."""
    return encode({"jsonrpc": "2.0", "id": token, "method": asked.method, "params": asked.params})


def with_answers(params: bytes, answers: dict[str, msgspec.Raw], state: msgspec.Raw) -> bytes:
    """The client's `params` again, with what was answered and the state of the round."""
    fields: dict[str, object] = dict(_fields(params)) if params else {}
    fields["inputResponses"] = answers
    if bytes(state):
        fields["requestState"] = state
    else:
        fields.pop("requestState", None)
    return encode(fields)
