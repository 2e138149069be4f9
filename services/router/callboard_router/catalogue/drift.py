"""What servers say otherwise than a version pinned, and what a playbook therefore does not show. Pure.

Tools and prompts: what a model reads and acts upon. Resources are data, and their descriptions change as data do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import msgspec

from callboard.contracts.definitions import Catalogue, DriftPolicy, Exposed, PlaybookContent, PlaybookDefinition
from callboard.contracts.drift import Drift, DriftChange, DriftKind, Verdict
from callboard.contracts.previews import Hidden
from callboard.contracts.problems import Problem
from callboard.kernel.definition_diff import nobody_notices
from callboard.kernel.overrides import both_changed, misfits
from callboard_router.catalogue.domain import STORED, Entry, Exposure, filter_rule
from callboard_router.catalogue.schema import value_faults

Definitions = Mapping[str, bytes]
"""Digest -> the definition that had it, of what versions pin."""
Key = tuple[str, str]
"""("tool" or "prompt", the playbook's name of it)."""


def differences(
    exposure: Exposure, pinned: PlaybookContent, catalogues: Mapping[str, Catalogue], definitions: Definitions
) -> list[Drift]:
    """Everything that is not as it was pinned, with the verdict of the playbook's policy.

    What only differs in ways that no agent notices (spelling, `_meta`) is no difference.
    """
    policy = pinned.definition.drift_policy
    maps = (pinned.tools, pinned.prompts, pinned.resources, pinned.templates or {})
    seen = {item.server for items in maps for item in items.values()}
    heard = {name for name, use in pinned.definition.servers.items() if use.enabled and name in catalogues}
    return [
        *_of("tool", exposure.tools, pinned.tools, policy, seen, heard, definitions),
        *_of("prompt", exposure.prompts, pinned.prompts, policy, seen, heard, definitions),
    ]


def _of(
    kind: DriftKind,
    entries: Mapping[str, Entry],
    pins: Mapping[str, Exposed],
    policy: DriftPolicy,
    seen: Collection[str],
    heard: Collection[str],
    definitions: Definitions,
) -> Iterator[Drift]:
    for name, entry in entries.items():
        pin = pins.get(name)
        if entry.server == STORED or (pin is not None and same(pin.digest, entry, definitions)):
            continue
        change: DriftChange = "changed" if pin is not None else "added" if entry.server in seen else "arrived"
        conflicts = conflicts_of(entry, definitions.get(pin.digest) if pin is not None else None)
        yield Drift(
            kind=kind,
            name=name,
            server=entry.server,
            item=entry.item.name,
            change=change,
            verdict="held" if conflicts else _verdict(change, policy),
            before=pin.digest if pin is not None else "",
            after=entry.item.digest,
            old=_text(definitions.get(pin.digest, b"")) if pin is not None else "",
            new="" if change == "arrived" and not conflicts else _text(bytes(entry.item.raw)),
            conflicts=conflicts,
        )
    for name in pins.keys() - entries.keys():
        pin = pins[name]
        if pin.server in heard:
            yield Drift(
                kind=kind,
                name=name,
                server=pin.server,
                item=pin.name,
                change="removed",
                verdict=_verdict("removed", policy),
                before=pin.digest,
                old=_text(definitions.get(pin.digest, b"")),
            )


def conflicts_of(entry: Entry, base: bytes | None) -> tuple[str, ...]:
    """Why the override of a tool cannot be kept over what its server says now; `base` is what the version pinned."""
    if entry.override is None:
        return ()
    theirs = bytes(entry.item.raw)
    found = misfits(entry.override, theirs, value_faults)
    return (*found, *(both_changed(entry.override, base, theirs) if base is not None else ()))


def _verdict(change: DriftChange, policy: DriftPolicy) -> Verdict:
    said = {"changed": policy.changed, "added": policy.added, "removed": policy.removed}.get(change, "accept")
    return "held" if said == "hold" else "accepted"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def same(digest: str, entry: Entry, definitions: Definitions) -> bool:
    """Whether a server still says what had this digest, or something that nobody can tell from it."""
    if digest == entry.item.digest:
        return True
    before = definitions.get(digest)
    return before is not None and nobody_notices(before, bytes(entry.item.raw))


def held_of(drifts: list[Drift]) -> dict[Key, Drift]:
    """Those that are hidden."""
    return {(drift.kind, drift.name): drift for drift in drifts if drift.verdict == "held"}


def without(exposure: Exposure, held: Mapping[Key, Drift]) -> Exposure:
    """The exposure without what is held, which it says to be hidden."""
    if not held:
        return exposure
    hidden = [
        Hidden(kind=drift.kind, server=drift.server, name=drift.item, reason="held", rule=why_held(drift))
        for drift in held.values()
    ]
    tools = {name: entry for name, entry in exposure.tools.items() if ("tool", name) not in held}
    prompts = {name: entry for name, entry in exposure.prompts.items() if ("prompt", name) not in held}
    return msgspec.structs.replace(exposure, tools=tools, prompts=prompts, hidden=(*exposure.hidden, *hidden))


def why_held(drift: Drift) -> str:
    """One sentence for whoever asks for a held thing, and for the status."""
    match drift.change:
        case "changed":
            reason = f"server {drift.server!r} has changed the definition of {drift.item!r} since it was published"
        case "added":
            reason = f"server {drift.server!r} offers {drift.item!r} since the version was published"
        case _:
            reason = f"server {drift.server!r} does not offer {drift.item!r} any more"
    if drift.conflicts:
        reason += f", and the playbook's override does not fit it: {drift.conflicts[0]}"
    return f"{drift.kind} {drift.name!r} is held until an operator approves: {reason}"


def refuse_held(kind: DriftKind, name: str, held: Mapping[Key, Drift]) -> None:
    """`tool.held` or `prompt.held` when this is hidden for a reason that the caller may know."""
    drift = held.get((kind, name))
    if drift is not None:
        raise Problem(f"{kind}.held", why_held(drift), name=name, change=drift.change)


def approved_only(
    fresh: PlaybookContent,
    before: PlaybookContent | None,
    held: Mapping[Key, Drift],
    exposure: Exposure,
    definitions: Definitions,
) -> PlaybookContent:
    """What a publish pins: what is new as it is now, and what was pinned before (`before`) as it was approved.

    `held`: what the version before holds back; a thing that was added and not approved is not pinned.
    """
    policy = fresh.definition.drift_policy
    if before is None:
        return fresh
    tools = _approved("tool", fresh.tools, before.tools, held, exposure.tools, policy, definitions)
    prompts = _approved("prompt", fresh.prompts, before.prompts, held, exposure.prompts, policy, definitions)
    if policy.removed == "hold":
        for (kind, name), drift in held.items():
            if drift.change == "removed" and _wanted(drift, fresh.definition):
                pin = Exposed(server=drift.server, name=drift.item, digest=drift.before)
                (tools if kind == "tool" else prompts).setdefault(name, pin)
    return msgspec.structs.replace(fresh, tools=tools, prompts=prompts)


def _wanted(drift: Drift, definition: PlaybookDefinition) -> bool:
    """Whether the playbook would show what the server does not offer any more."""
    use = definition.servers.get(drift.server)
    if use is None or not use.enabled:
        return False
    return drift.kind == "prompt" or filter_rule(drift.server, drift.item, use)[0] is None


def _approved(
    kind: DriftKind,
    fresh: Mapping[str, Exposed],
    before: Mapping[str, Exposed],
    held: Mapping[Key, Drift],
    entries: Mapping[str, Entry],
    policy: DriftPolicy,
    definitions: Definitions,
) -> dict[str, Exposed]:
    digests = {(item.server, item.name): item.digest for item in before.values()}
    unapproved = {(d.server, d.item) for d in held.values() if (d.kind, d.change) == (kind, "added")}
    found = {}
    for name, item in fresh.items():
        known = digests.get((item.server, item.name))
        if item.server == STORED:
            found[name] = item
        elif known is None:
            if policy.added == "accept" or (item.server, item.name) not in unapproved:
                found[name] = item
        elif same(known, entries[name], definitions) or (
            policy.changed == "accept" and not conflicts_of(entries[name], definitions.get(known))
        ):
            found[name] = item
        else:
            found[name] = msgspec.structs.replace(item, digest=known)
    return found
