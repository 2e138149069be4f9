"""What connectors are asked and say: probes, placement, watched resources.

A command is imperative and carries `command_id`: the same id gives the same answer, however often it is delivered.
`actor` is set by the edge from the verified token, never by the caller. Subjects: `callboard.contracts.subjects`.
"""

from __future__ import annotations

import msgspec

from callboard.contracts.definitions import Catalogue, ServerDefinition


class ProbeServer(msgspec.Struct, frozen=True, kw_only=True, tag="server.probe", tag_field="type"):
    """Connect to a definition that is perhaps not registered yet, list what it offers, disconnect."""

    organisation: str
    server: str
    definition: ServerDefinition


class Probed(msgspec.Struct, frozen=True, kw_only=True, tag="server.probed", tag_field="type"):
    """Answer to `ProbeServer`: the catalogue, or why there is none."""

    server: str
    catalogue: Catalogue | None = None
    digest: str = ""
    problem: str = ""


class PlaceServer(msgspec.Struct, frozen=True, kw_only=True, tag="server.place", tag_field="type"):
    """router > connectors: nobody answers for this server; whoever may take its lease does so now."""

    organisation: str
    server: str
