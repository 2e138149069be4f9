"""Drafts: what is edited before it is served."""

from __future__ import annotations

from collections.abc import Sequence

from callboard.client.routes import SLOW_SECONDS, Routes, organisation_path, playbook_path
from callboard.contracts.drafts import Draft, DraftPublishing, DraftRevised, Drafts, DraftStep, Prefer
from callboard.contracts.management import DraftEdits, DraftRebase, Publish
from callboard.contracts.playbooks import Done


class Drafting(Routes):
    """The routes about drafts and their publishing."""

    def drafts(self, organisation: str) -> Drafts:
        """The drafts of an organisation."""
        return self._get(f"{organisation_path(organisation)}/drafts", Drafts)

    def draft(self, organisation: str, playbook: str) -> Draft:
        """The draft of a playbook; `draft.unknown` when there is none."""
        return self._get(f"{playbook_path(organisation, playbook)}/draft", Draft)

    def edit_draft(
        self,
        organisation: str,
        playbook: str,
        edits: Sequence[DraftStep],
        comment: str = "",
        *,
        expected: int | None = None,
    ) -> DraftRevised:
        """Put edits into the draft; `expected` is the revision that was edited, 0 for none."""
        body = DraftEdits(edits=tuple(edits), expected=expected, comment=comment)
        return self._post(f"{playbook_path(organisation, playbook)}/draft", body, DraftRevised)

    def rebase_draft(self, organisation: str, playbook: str, comment: str = "", prefer: Prefer = "") -> DraftRevised:
        """Take what was published since the draft began into it."""
        body = DraftRebase(prefer=prefer, comment=comment)
        return self._post(f"{playbook_path(organisation, playbook)}/draft/rebase", body, DraftRevised)

    def discard_draft(self, organisation: str, playbook: str, comment: str = "") -> Done:
        """Throw the draft away."""
        return self._delete(f"{playbook_path(organisation, playbook)}/draft", comment=comment)

    def publish(
        self,
        organisation: str,
        playbook: str,
        comment: str = "",
        *,
        expected_version: int | None = None,
        expected_revision: int | None = None,
        accept_drift: bool = False,
        dry_run: bool = False,
    ) -> DraftPublishing:
        """Make the draft the next version; `dry_run` only says what would change."""
        body = Publish(
            comment=comment,
            expected_version=expected_version,
            expected_revision=expected_revision,
            accept_drift=accept_drift,
            dry_run=dry_run,
        )
        path = f"{playbook_path(organisation, playbook)}/publish"
        return self._post(path, body, DraftPublishing, timeout=SLOW_SECONDS)
