"""A call that needs its caller to sign in to the server first, in the words of the caller's era; pure.

MCP 2025-11-25: error -32042 with URL elicitations; 2026-07-28: an `input_required` result with one. For a client that
offers neither, the link stands in the message of the error.
"""

from __future__ import annotations

import hashlib

import msgspec

from callboard.contracts.calls import ERROR, MODERN, RESULT, CallHead
from callboard.contracts.problems import Problem
from callboard_connectors.calls.domain import Ended
from callboard_connectors.transports.envelope import NOTHING, encode

INPUT = "callboard_sign_in"
"""The key of our question among the `inputRequests`, and of its answer."""
ELICITATION_REQUIRED = -32042
_MAY_ASK = frozenset({"tools/call", "prompts/get", "resources/read"})


class _Elicitation(msgspec.Struct):
    url: msgspec.Raw = NOTHING


class _Capabilities(msgspec.Struct):
    elicitation: _Elicitation | None = None


_capabilities = msgspec.json.Decoder(_Capabilities).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def follows_links(capabilities: bytes) -> bool:
    """Whether a client shows links of URL elicitation to its person."""
    try:
        found = _capabilities(capabilities).elicitation
    except msgspec.DecodeError:
        return False
    return found is not None and bool(bytes(found.url))


def to_sign_in(head: CallHead, problem: Problem) -> Ended | None:
    """How a call ends whose caller has to sign in first; None for other problems, and where an error has to do."""
    url = problem.data.get("url")
    if problem.code != "server.sign_in_needed" or not url or not follows_links(head.capabilities):
        return None
    asked = {"mode": "url", "message": problem.message, "url": url}
    if head.era == MODERN:
        if head.method not in _MAY_ASK:
            return None
        requests = {INPUT: {"method": "elicitation/create", "params": asked}}
        return Ended(RESULT, encode({"resultType": "input_required", "inputRequests": requests}), "ok")
    data = {"elicitations": [{**asked, "elicitationId": _id(url)}], "code": problem.code, "server": head.server}
    body = encode({"code": ELICITATION_REQUIRED, "message": problem.message, "data": data})
    return Ended(ERROR, body, "error", problem.code, ELICITATION_REQUIRED)


def without_answer(params: bytes) -> bytes:
    """The client's `params` without its answer to our question, which is none of the server's."""
    if INPUT.encode() not in params:
        return params
    fields: dict[str, object] = dict(_fields(params))
    answers = fields.get("inputResponses")
    if not isinstance(answers, msgspec.Raw):
        return params
    left = {key: value for key, value in _fields(answers).items() if key != INPUT}
    if left:
        fields["inputResponses"] = left
    else:
        del fields["inputResponses"]
    return encode(fields)


def _id(url: str) -> str:
    """An id for the question that does not give the link away."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]
