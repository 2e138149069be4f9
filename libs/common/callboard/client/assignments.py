"""Who is served what: pins, canaries, previews, and what is held back after drift."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from callboard.client.layering import Layering
from callboard.client.routes import API, SLOW_SECONDS, organisation_path, part_of, playbook_path
from callboard.contracts.assignments import Pins
from callboard.contracts.drift import DriftChoice, DriftDecided, HeldThings
from callboard.contracts.management import (
    Comment,
    DecideDrift,
    NewCanary,
    Pin,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.previews import Explanation, Preview


class Assignments(Layering):
    """The routes about who is served which version of a playbook."""

    def pins(self, organisation: str, playbook: str = "") -> Pins:
        """Which clients are served a version of their own; of every playbook when none is named."""
        base = playbook_path(organisation, playbook) if playbook else organisation_path(organisation)
        return self._get(f"{base}/pins", Pins)

    def pin(self, organisation: str, playbook: str, client: str, version: int, comment: str) -> Done:
        """Serve a client this version from now on; `seq` 0 when that is how it was."""
        path = f"{playbook_path(organisation, playbook)}/pins/{part_of(client)}"
        return self._change("PUT", path, Done, Pin(version=version, comment=comment))

    def unpin(self, organisation: str, playbook: str, client: str, comment: str) -> Done:
        """Serve a client what everybody is served; `seq` 0 when it was not pinned."""
        return self._delete(f"{playbook_path(organisation, playbook)}/pins/{part_of(client)}", comment=comment)

    def start_canary(
        self,
        organisation: str,
        playbook: str,
        version: int,
        comment: str,
        *,
        percent: float,
        until: datetime,
        condition: str,
        min_calls: int = 50,
    ) -> Done:
        """Try a version on a share of the callers until a time, or until `condition` (like `errors > 2%`) holds."""
        body = NewCanary(
            version=version, percent=percent, until=until, condition=condition, min_calls=min_calls, comment=comment
        )
        return self._post(f"{playbook_path(organisation, playbook)}/canary", body, Done)

    def promote_canary(self, organisation: str, playbook: str, comment: str) -> Done:
        """Publish the content of the version that is tried."""
        return self._post(f"{playbook_path(organisation, playbook)}/canary/promote", Comment(comment=comment), Done)

    def stop_canary(self, organisation: str, playbook: str, comment: str) -> Done:
        """Serve everybody the current version again."""
        return self._post(f"{playbook_path(organisation, playbook)}/canary/stop", Comment(comment=comment), Done)

    def preview(
        self,
        organisation: str,
        playbook: str,
        client: str,
        era: Literal["2026", "2025"] = "2026",
        version: int = 0,
        at: datetime | None = None,
    ) -> Preview:
        """What this client's list requests return, now or `at` a time, and what is hidden and why."""
        query = {"client": client, "era": era, "version": version}
        moment = {"at": at.isoformat()} if at is not None else {}
        path = f"{playbook_path(organisation, playbook)}/preview"
        return self._transport.ask("GET", API + path, Preview, query={**query, **moment}, timeout=SLOW_SECONDS)

    def explain(self, organisation: str, playbook: str, tool: str, version: int = 0) -> Explanation:
        """Which rules show, hide or rename a tool."""
        query = {"tool": tool, "version": version}
        return self._get(f"{playbook_path(organisation, playbook)}/explain", Explanation, query)

    def held(self, organisation: str, playbook: str = "") -> HeldThings:
        """What is held back, of one playbook (then with its callers) or of all."""
        place = playbook_path(organisation, playbook) if playbook else organisation_path(organisation)
        return self._get(f"{place}/drift", HeldThings)

    def approve_drift(
        self, organisation: str, playbook: str, things: tuple[DriftChoice, ...], comment: str
    ) -> DriftDecided:
        """Publish a version that shows these as they are now."""
        body = DecideDrift(things=things, comment=comment)
        return self._post(f"{playbook_path(organisation, playbook)}/drift/approve", body, DriftDecided)

    def reject_drift(
        self, organisation: str, playbook: str, things: tuple[DriftChoice, ...], comment: str
    ) -> DriftDecided:
        """Leave these hidden."""
        body = DecideDrift(things=things, comment=comment)
        return self._post(f"{playbook_path(organisation, playbook)}/drift/reject", body, DriftDecided)
