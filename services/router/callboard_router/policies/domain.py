"""The aggregates: a policy (set and removed) and the switch of a server. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from callboard.contracts.policies import RemovePolicy, SetPolicy, SwitchServer
from callboard.contracts.policy_definitions import ArgumentRule, PolicyDefinition, Window
from callboard.contracts.policy_events import PolicyRemoved, PolicySet, ServerSwitched
from callboard.contracts.problems import Problem
from callboard.kernel.decider import Decider
from callboard.kernel.names import is_slug
from callboard_router.policies.arguments import BadPattern, CompiledArgumentRule
from callboard_router.policies.windows import minutes_of, zone_of

MAX_POLICIES: Final = 500
"""Of one organisation; each is looked at once for every caller."""
_MAX_GLOBS, _MAX_TEXT = 500, 1000


class PolicyState(msgspec.Struct, frozen=True, kw_only=True):
    """State: None means that there is no such policy (never, or removed)."""

    definition: PolicyDefinition | None = None


def decide(command: SetPolicy | RemovePolicy, state: PolicyState) -> Sequence[PolicySet | PolicyRemoved]:
    """What happens; nothing where the policy says this already. Raises `Problem` for what cannot be."""
    if isinstance(command, RemovePolicy):
        if state.definition is None:
            raise Problem("policy.unknown", f"there is no policy {command.policy!r}", policy=command.policy)
        _require_comment(command.comment)
        return [PolicyRemoved(policy=command.policy)]
    refuse_faults(command.policy, command.definition)
    if command.definition == state.definition:
        return []
    _require_comment(command.comment)
    return [PolicySet(policy=command.policy, definition=command.definition)]


def evolve(state: PolicyState, event: PolicySet | PolicyRemoved) -> PolicyState:
    """The state after the event."""
    return PolicyState(definition=event.definition if isinstance(event, PolicySet) else None)


POLICY: Final[Decider[SetPolicy | RemovePolicy, PolicyState, PolicySet | PolicyRemoved]] = Decider(
    PolicyState(), decide, evolve
)


def switch(command: SwitchServer, off: frozenset[str], *, registered: bool) -> Sequence[ServerSwitched]:
    """The switch of one server."""
    if not registered and command.server not in off:
        raise Problem("server.unknown", f"server {command.server!r} is not registered", server=command.server)
    if command.on == (command.server not in off):
        return []
    _require_comment(command.comment)
    return [ServerSwitched(server=command.server, on=command.on)]


def _require_comment(comment: str) -> None:
    if not comment.strip():
        raise Problem("comment.required", "every change of who may do what says why")


def refuse_faults(name: str, definition: PolicyDefinition) -> None:
    """Raise `policy.invalid` with everything that is wrong, each with its place."""
    faults = [{"path": path, "message": message} for path, message in _faults(name, definition)]
    if faults:
        first = faults[0]
        text = f"policy {name!r}: {first['path']}: {first['message']}" if first["path"] else first["message"]
        raise Problem("policy.invalid", text, faults=faults)


def _faults(name: str, definition: PolicyDefinition) -> Iterator[tuple[str, str]]:
    if not is_slug(name):
        yield "", f"policy name {name!r}: use lower-case letters, digits, - and _ (at most 63)"
    callers = definition.callers
    if callers is not None and not (callers.clients or callers.keys or callers.members):
        yield "for", "names nobody; leave it out for a policy that concerns everybody"
    if not definition.playbooks:
        yield "playbooks", "names no playbook; leave it out for all of them"
    yield from _rights_faults(definition)
    for number, rule in enumerate(definition.arguments):
        for message in _argument_faults(rule):
            yield f"arguments[{number}]", message
    for number, window in enumerate(definition.when):
        for message in _window_faults(window):
            yield f"when[{number}]", message
    for number, limit in enumerate(definition.limits):
        if not limit.per:
            yield f"limits[{number}].per", "says nothing to count for; `organisation` counts all together"
    steps = enumerate(definition.step_up)
    yield from ((f"step_up[{number}].tools", "names no tool; `*` is all of them") for number, r in steps if not r.tools)
    yield from _vain_globs(definition)
    texts = [*_globs(definition)]
    if len(texts) > _MAX_GLOBS or any(len(text) > _MAX_TEXT for text in texts):
        yield "", f"more than {_MAX_GLOBS} globs, or one over {_MAX_TEXT} characters"


def _rights_faults(definition: PolicyDefinition) -> Iterator[tuple[str, str]]:
    for kind in ("tools", "prompts", "resources"):
        rights = getattr(definition, kind)
        if rights is not None and rights.deny and not rights.allow:
            yield f"{kind}.deny", 'what no `allow` has is denied anyway; add `allow: ["*"]` to deny only these'


def _vain_globs(definition: PolicyDefinition) -> Iterator[tuple[str, str]]:
    """Those that name no server: a `deny: edit` would deny nothing, and nobody would be told."""
    for path, glob in _of_things(definition):
        server, slash, _ = glob.partition("/")
        if (not slash and not glob.startswith("*")) or ":" in server:
            yield path, f"{glob!r} has nothing of any server; write SERVER/NAME, like {f'*/{glob}'!r}"


def _globs(definition: PolicyDefinition) -> Iterator[str]:
    yield from definition.playbooks
    if definition.callers is not None:
        yield from definition.callers.clients
    yield from (glob for _, glob in _of_things(definition))


def _of_things(definition: PolicyDefinition) -> Iterator[tuple[str, str]]:
    """The globs that are matched against `SERVER/NAME`, each with its place."""
    for kind in ("tools", "prompts", "resources"):
        rights = getattr(definition, kind)
        if rights is not None:
            yield from ((f"{kind}.allow", glob) for glob in rights.allow)
            yield from ((f"{kind}.deny", glob) for glob in rights.deny)
    for place in ("arguments", "limits", "step_up"):
        for number, rule in enumerate(getattr(definition, place)):
            yield from ((f"{place}[{number}].tools", glob) for glob in rule.tools or ())


def _argument_faults(rule: ArgumentRule) -> Iterator[str]:
    if not rule.argument.strip("/"):
        yield "name the argument"
    if not (rule.required or rule.forbidden or rule.values is not None or rule.pattern is not None):
        yield "demands nothing; say `required`, `forbidden`, `values` or `pattern`"
    if not _is_json(rule.values):
        yield "values: not all of them are values of JSON (a number that is infinite, or none, is not)"
        return
    if rule.required and rule.forbidden:
        yield "cannot be both `required` and `forbidden`"
    try:
        CompiledArgumentRule(rule)
    except BadPattern as error:
        yield f"pattern: {error}"


def _is_json(values: Any) -> bool:
    try:
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _window_faults(window: Window) -> Iterator[str]:
    for name, clock in (("start", window.start), ("end", window.end)):
        if minutes_of(clock) is None:
            yield f"{name}: {clock!r} is no time; write it like 08:30 (24:00 ends a day)"
    if window.start == "24:00":
        yield "start: 24:00 only ends a day; write 00:00"
    if window.start == window.end:
        yield "starts and ends at the same time; leave both out for whole days"
    if zone_of(window.zone) is None:
        yield f"zone: there is no zone {window.zone!r}; name one like Europe/Zurich"
    if not window.days:
        yield "days: names none"
