"""What a publish or rollback would do: the difference, and what has become of the servers since. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from callboard.contracts.definitions import Catalogue, Exposed, PlaybookContent, ServerDefinition
from callboard.contracts.playbooks import Change
from callboard.contracts.upstreams import Probed
from callboard.kernel.diff import changes_between
from callboard_router.catalogue.domain import expose
from callboard_router.catalogue.drift import differences as differences_of
from callboard_router.catalogue.drift import held_of, why_held
from callboard_router.catalogue.served import catalogues_of
from callboard_router.playbooks.plan import definitions_of
from callboard_router.state import Organisation

_MOST_NAMES = 10


def differences(now: PlaybookContent | None, then: PlaybookContent, organisation: Organisation) -> tuple[Change, ...]:
    """From what is served to what would be served."""
    known = organisation.definitions | definitions_of(catalogues_of(organisation).values())
    return changes_between(now, then, known)


def servers_of(content: PlaybookContent, organisation: Organisation) -> dict[str, ServerDefinition]:
    """The servers of a version that are registered, to be probed."""
    found = {name: organisation.server(name).definition for name in content.definition.servers}
    return {name: definition for name, definition in found.items() if definition is not None}


def held_notes(then: PlaybookContent, organisation: Organisation) -> Iterator[str]:
    """What the version would not show."""
    catalogues = catalogues_of(organisation)
    drifts = differences_of(expose(then.definition, catalogues, then), then, catalogues, organisation.definitions)
    for drift in held_of(drifts).values():
        yield why_held(drift)


def drift_notes(then: PlaybookContent, catalogues: Mapping[str, Catalogue]) -> Iterator[str]:
    """What the servers say otherwise now than when the version was published."""
    for kind, exposed in (("tool", then.tools), ("prompt", then.prompts), ("resource", then.resources)):
        for name, item in exposed.items():
            catalogue = catalogues.get(item.server)
            if catalogue is not None:
                yield from _drift(kind, name, item, _digests(kind, catalogue))


def _digests(kind: str, catalogue: Catalogue) -> dict[str, str]:
    items = {"tool": catalogue.tools, "prompt": catalogue.prompts, "resource": catalogue.resources}[kind]
    return {item.name: item.digest for item in items}


def _drift(kind: str, name: str, item: Exposed, digests: Mapping[str, str]) -> Iterator[str]:
    digest = digests.get(item.name)
    if digest is None:
        yield f"{kind} {name}: server {item.server} does not offer {item.name} any more"
    elif digest != item.digest:
        yield f"{kind} {name}: server {item.server} has changed its definition since"


def probe_notes(probes: Mapping[str, Probed], organisation: Organisation) -> Iterator[str]:
    """Which servers answer now, and what they say otherwise than at their last discovery."""
    answering = sorted(name for name, probed in probes.items() if not probed.problem)
    if answering:
        yield f"server {', '.join(answering)} answer{'s' if len(answering) == 1 else ''} now"
    for name, probed in sorted(probes.items()):
        if probed.problem:
            yield f"server {name} does not answer now: {probed.problem}"
        before = organisation.server(name).catalogue
        if probed.catalogue is not None and before is not None:
            yield from _news(name, before, probed.catalogue)


def _news(server: str, before: Catalogue, now: Catalogue) -> Iterator[str]:
    for kind in ("tool", "prompt", "resource"):
        old, new = _digests(kind, before), _digests(kind, now)
        for word, names in (
            ("offers", new.keys() - old.keys()),
            ("does not offer any more:", old.keys() - new.keys()),
            ("has changed", {name for name in old.keys() & new.keys() if old[name] != new[name]}),
        ):
            if names:
                shown = ", ".join(sorted(names)[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
                yield f"server {server} {word} {kind} {shown}, and its next discovery will say so"
