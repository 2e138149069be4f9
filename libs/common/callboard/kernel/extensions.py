"""Extensions of the protocol that Callboard knows by name (MCP 2026-07-28, basic/extensions), and who declares them."""

from __future__ import annotations

import msgspec

from callboard.contracts.problems import Problem

TASKS = "io.modelcontextprotocol/tasks"
UI = "io.modelcontextprotocol/ui"
UI_MIME_TYPE = "text/html;profile=mcp-app"


class _Declared(msgspec.Struct):
    extensions: dict[str, msgspec.Raw] = {}


_declared = msgspec.json.Decoder(_Declared).decode


def declares(capabilities: bytes | msgspec.Raw, extension: str) -> bool:
    """Whether a capabilities object, raw JSON, names the extension."""
    try:
        return extension in _declared(capabilities).extensions
    except msgspec.DecodeError:
        return False


def missing_extension(extension: str) -> Problem:
    """The client did not declare what its request needs (-32021)."""
    return Problem(
        "capability.required",
        f"Missing required client capability: {extension}",
        requiredCapabilities={"extensions": {extension: {}}},
    )
