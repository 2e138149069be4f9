"""What a change of servers or playbooks makes different in what playbooks show: told once, with the change. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from callboard.contracts.definitions import Catalogue
from callboard.contracts.drift import Drift
from callboard.contracts.events import Event, PlaybookDrifted
from callboard_router.catalogue.domain import expose
from callboard_router.catalogue.drift import Key, differences, held_of
from callboard_router.catalogue.served import catalogues_of
from callboard_router.state import Organisation


def found_in(organisation: Organisation, playbook: str, catalogues: Mapping[str, Catalogue]) -> list[Drift]:
    """All differences of the current version of a playbook, none of one that is not served."""
    pinned = organisation.pinned(playbook)
    if pinned is None or not organisation.playbook(playbook).served:
        return []
    exposure = expose(pinned.definition, catalogues, pinned)
    return differences(exposure, pinned, catalogues, organisation.definitions)


def held_in(organisation: Organisation, playbook: str) -> dict[Key, Drift]:
    """What the current version of a playbook holds back now."""
    return held_of(found_in(organisation, playbook, catalogues_of(organisation)))


def with_drift(organisation: Organisation, writes: Mapping[str, Sequence[Event]]) -> Mapping[str, Sequence[Event]]:
    """The same writes, and for each playbook what drifts by them.

    In the same append, so that whoever decides tells of it, once, however many see it.
    """
    if not any(writes.values()):
        return writes
    after = organisation.copy()
    touched = {name for events in writes.values() for event in events for name in after.fold(event)}
    catalogues = catalogues_of(after)
    told = dict(writes)
    for name in sorted(touched):
        drifts = after.drift(name).untold(found_in(after, name, catalogues))
        if drifts:
            version = after.playbook(name).current
            event = PlaybookDrifted(playbook=name, version=version, drifts=drifts)
            told[f"playbook-{name}"] = (*told.get(f"playbook-{name}", ()), event)
    return told
