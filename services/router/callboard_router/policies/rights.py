"""What policies say of one thing: the decision itself. Pure.

Every policy that concerns a caller has to allow a thing, so that one more policy never allows more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from callboard.contracts.policies import ThingKind
from callboard.contracts.policy_definitions import ArgumentRule, PolicyDefinition, Rights
from callboard.kernel.names import first_match, matches
from callboard.kernel.personal import person_of
from callboard_router.policies.arguments import BadPattern, CompiledArgumentRule
from callboard_router.policies.uris import Spellings
from callboard_router.policies.windows import next_change, open_at

_ABSENT = Rights()


class Caller(NamedTuple):
    """Whoever asks, as policies can name them."""

    client: str
    key: str
    member: str
    oauth_client: str = ""


class Thing(NamedTuple):
    """What is asked for: a tool, prompt or resource (or template) by its server's own name, or a URI."""

    kind: ThingKind
    server: str
    name: str
    read_only: bool = False

    @property
    def text(self) -> str:
        """What globs are matched against."""
        return f"{self.server}/{self.name}"


class CompiledPolicy:
    """One policy, its argument rules compiled."""

    def __init__(self, name: str, definition: PolicyDefinition) -> None:
        self.name = name
        self.definition = definition
        self._selects = any((definition.tools, definition.prompts, definition.resources))
        self._rules = [(rule.tools, _compiled(rule)) for rule in definition.arguments]
        self._looked: tuple[datetime, bool] | None = None

    def concerns(self, caller: Caller) -> bool:
        """Whether it holds for this caller."""
        named = self.definition.callers
        if named is None:
            return True
        return (
            (caller.key != "" and caller.key in named.keys)
            or (caller.member != "" and caller.member in named.members)
            or _names_client(named.clients, caller.client)
            or (caller.oauth_client != "" and first_match(named.clients, caller.oauth_client) is not None)
        )

    def holds_for(self, playbook: str) -> bool:
        """Whether it holds in this playbook."""
        return first_match(self.definition.playbooks, playbook) is not None

    def closed(self, instant: datetime) -> bool:
        """Whether nothing is allowed at this time. It is asked for thousands of things at the same one."""
        if not self.definition.when:
            return False
        if self._looked is None or self._looked[0] != instant:
            self._looked = instant, not open_at(self.definition.when, instant)
        return self._looked[1]

    def changes_after(self, instant: datetime) -> datetime | None:
        """When that may be otherwise; None: never."""
        return next_change(self.definition.when, instant) if self.definition.when else None

    def denial(self, thing: Thing, instant: datetime) -> str | None:
        """The rule that denies a thing; None where it is allowed."""
        if self.closed(instant):
            return "when: outside of its times"
        if self.definition.read_only and thing.kind == "tool" and not thing.read_only:
            return "read_only: the tool is not annotated readOnlyHint"
        if not self._selects:
            return None
        kind = f"{thing.kind}s"
        rights: Rights = getattr(self.definition, kind) or _ABSENT
        denying, allowing = _asked(thing, rights)
        if denying is not None:
            return f"{kind}.deny: {denying}"
        if allowing is None:
            return f"{kind}.allow: nothing there allows it"
        return None

    def allowance(self, thing: Thing) -> str:
        """The rule that allows a thing which is not denied."""
        kind = f"{thing.kind}s"
        rights: Rights | None = getattr(self.definition, kind)
        allowing = _asked(thing, rights)[1] if rights is not None else None
        return f"{kind}.allow: {allowing}" if allowing is not None else ""

    def argument_rules(self, server: str, tool: str) -> list[CompiledArgumentRule]:
        """The rules about the arguments of a tool."""
        text = f"{server}/{tool}"
        return [rule for globs, rule in self._rules if any(matches(glob, text) for glob in globs)]

    def scopes_for(self, server: str, tool: str) -> list[str]:
        """The scopes that a tool is called with only."""
        text = f"{server}/{tool}"
        return [rule.scope for rule in self.definition.step_up if first_match(rule.tools, text) is not None]


def _names_client(clients: Sequence[str], client: str) -> bool:
    """Of a person's sealed name a glob would have what it has by chance."""
    if person_of(client) is not None:
        return any(client == one or (one and not one.strip("*")) for one in clients)
    return first_match(clients, client) is not None


def _asked(thing: Thing, rights: Rights) -> tuple[str | None, str | None]:
    """The glob that denies a thing and the one that allows it."""
    if thing.kind != "resource":
        return first_match(rights.deny, thing.text), first_match(rights.allow, thing.text)
    spellings = Spellings(thing.server, thing.name)
    return spellings.denying(rights.deny), spellings.allowing(rights.allow)


def _compiled(rule: ArgumentRule) -> CompiledArgumentRule:
    try:
        return CompiledArgumentRule(rule)
    except BadPattern:
        # Accepted by an engine of another day: nothing meets it, rather than everything.
        return CompiledArgumentRule(msgspec.structs.replace(rule, pattern=None, required=True, forbidden=True))


class Denied(NamedTuple):
    """Who denies a thing: a policy and its rule; no policy: the server is switched off."""

    policy: str
    rule: str

    def __str__(self) -> str:
        return f"policy {self.policy}: {self.rule}" if self.policy else self.rule


SWITCHED_OFF = Denied("", "the server is switched off in the organisation")


def decide(policies: Sequence[CompiledPolicy], off: frozenset[str], thing: Thing, instant: datetime) -> Denied | None:
    """The first that denies a thing; None where nobody does."""
    if thing.server in off:
        return SWITCHED_OFF
    for policy in policies:
        rule = policy.denial(thing, instant)
        if rule is not None:
            return Denied(policy.name, rule)
    return None
