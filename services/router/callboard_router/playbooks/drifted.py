"""What applying a file does about the drift of one playbook: approved definitions stay, the others stay held. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from callboard.contracts.definitions import Catalogue, PlaybookContent
from callboard.contracts.events import PlaybookDriftApproved
from callboard_router.catalogue.domain import Exposure
from callboard_router.catalogue.drift import approved_only, differences, held_of, why_held
from callboard_router.playbooks.decide_drift import approval, refuse_misfits, refuse_other_approver
from callboard_router.playbooks.drift_found import found_in
from callboard_router.state import Organisation


class Drifted:
    """One playbook against what its servers say, or will say once the file is applied."""

    def __init__(self, organisation: Organisation, playbook: str, catalogues: Mapping[str, Catalogue]) -> None:
        self._organisation = organisation
        self._playbook = playbook
        self._catalogues = catalogues
        self._pinned = organisation.pinned(playbook)
        self.held = held_of(found_in(organisation, playbook, catalogues))

    def approved_only(self, content: PlaybookContent, exposure: Exposure) -> PlaybookContent:
        """What a publish pins without approving anything."""
        return approved_only(content, self._pinned, self.held, exposure, self._organisation.definitions)

    def approval(self) -> PlaybookDriftApproved:
        """The version that pins all that is held now, under the definition of before."""
        assert self._pinned is not None  # something is held
        refuse_misfits(self._pinned.definition, self.held.values())
        current = self._organisation.playbook(self._playbook).current
        return approval(self._playbook, current, self._pinned, tuple(self.held.values()))

    def refuse_other_approver(self, actor: str) -> None:
        """`auth.forbidden` for whoever may not approve what is held."""
        if self._pinned is not None:
            refuse_other_approver(self._playbook, self._pinned.definition, actor)

    def notes(self, content: PlaybookContent, exposure: Exposure) -> tuple[str, ...]:
        """What a version with this content would hold back."""
        drifts = differences(exposure, content, self._catalogues, self._organisation.definitions)
        return tuple(
            f"{why_held(drift)}; `drift approve` or --accept-drift shows it" for drift in held_of(drifts).values()
        )
