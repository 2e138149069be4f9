"""What an organisation is, said as simply as possible: no events, no streams, no tables, no bytes.

A tool is (server, name); what a server says of it is a number. Everything that Callboard does with versions, drift,
approvals, pins and canaries stands here once more, in other words.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

Tool = tuple[str, str]
Said = dict[Tool, int]


class Policy(NamedTuple):
    """What becomes of a tool that changes, comes or goes after a version pinned it."""

    hold_changed: bool
    hold_added: bool
    hold_removed: bool
    approver: str = ""


POLICIES = (
    Policy(True, False, False), Policy(False, False, False), Policy(True, True, True), Policy(True, True, True, "ann"),
)  # fmt: skip


class Definition(NamedTuple):
    """What a person writes of a playbook."""

    title: str
    servers: frozenset[str]
    deny: frozenset[str]
    policy: Policy


@dataclass(frozen=True)
class Version:
    """One version: what was written, what it pins, how it came about."""

    definition: Definition
    pins: Said
    reason: str
    actor: str
    comment: str
    rolled_back_to: int | None = None

    @property
    def content(self) -> tuple[Definition, Said]:
        """What makes two versions the same."""
        return self.definition, self.pins


@dataclass
class Playbook:
    """`baseline`: what the current version pins, and what was accepted since."""

    versions: list[Version] = field(default_factory=list)
    retired: bool = False
    baseline: Said = field(default_factory=dict)
    pins: dict[str, int] = field(default_factory=dict)
    canary: int = 0

    @property
    def served(self) -> bool:
        return bool(self.versions) and not self.retired

    @property
    def current(self) -> Version:
        return self.versions[-1]

    def add(self, version: Version) -> None:
        self.versions.append(version)
        self.baseline, self.retired = dict(version.pins), False


@dataclass
class Draft:
    """`definition` None: there is none, or none any more. `base`: the version it began at."""

    revision: int = 0
    base: int = 0
    definition: Definition | None = None

    @property
    def open(self) -> int:
        return self.revision if self.definition is not None else 0


@dataclass
class Server:
    """`offers` None: it was not reached yet."""

    definition: int
    offers: dict[str, int] | None = None


class Refused(Exception):
    """With the code of the problem."""


class Exported(NamedTuple):
    """A playbook as a file."""

    versions: tuple[Version, ...]
    servers: dict[str, int]


@dataclass(frozen=True)
class Why:
    """Who does it, and the comment."""

    actor: str
    comment: str


class Organisation:
    """All of it. A command raises `Refused` and leaves everything as it was, or takes effect."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.playbooks: dict[str, Playbook] = {}
        self.drafts: dict[str, Draft] = {}

    def draft(self, name: str) -> Draft:
        return self.drafts.setdefault(name, Draft())

    def playbook(self, name: str) -> Playbook:
        return self.playbooks.get(name, Playbook())

    def offered(self, definition: Definition) -> Said:
        """What a playbook could show of what its servers say now."""
        return {
            (server, tool): said
            for server in definition.servers & self.servers.keys()
            for tool, said in (self.servers[server].offers or {}).items()
            if tool not in definition.deny
        }

    def held(self, definition: Definition, pins: Said) -> dict[Tool, int]:
        """What is hidden of a version that pins this, each with what its server says now (0: it is gone)."""
        now, known = self.offered(definition), {server for server, _ in pins}
        policy = definition.policy
        changed = {t: said for t, said in now.items() if t in pins and pins[t] != said and policy.hold_changed}
        added = {t: said for t, said in now.items() if t not in pins and t[0] in known and policy.hold_added}
        heard = {s for s in definition.servers & self.servers.keys() if self.servers[s].offers is not None}
        removed = {t: 0 for t in pins if t not in now and t[0] in heard and policy.hold_removed}
        return changed | added | removed

    def held_now(self, name: str) -> dict[Tool, int]:
        """What the playbook holds back."""
        playbook = self.playbook(name)
        return self.held(playbook.current.definition, playbook.baseline) if playbook.served else {}

    def shown(self, name: str, version: int = 0) -> Said:
        """What somebody sees who is served the version."""
        playbook = self.playbooks[name]
        found = playbook.versions[version - 1] if version else playbook.current
        pins = found.pins if version and version != len(playbook.versions) else playbook.baseline
        hidden = self.held(found.definition, pins)
        return {tool: said for tool, said in self.offered(found.definition).items() if tool not in hidden}

    def settle(self) -> None:
        """What servers say otherwise and nobody has to approve is what the version shows from now on."""
        for playbook in self.playbooks.values():
            if playbook.served:
                definition = playbook.current.definition
                hidden = self.held(definition, playbook.baseline)
                playbook.baseline |= {t: said for t, said in self.offered(definition).items() if t not in hidden}

    # --- commands ----------------------------------------------------------------------------------------

    def define(self, name: str, definition: int, offers: dict[str, int] | None) -> None:
        """Register or change a server; `offers` is what it answers when it is asked."""
        server = self.servers.get(name)
        if server is None:
            self.servers[name] = Server(definition, offers)
        elif server.definition != definition:
            self.servers[name] = Server(definition, server.offers if offers is None else offers)

    def discovered(self, name: str, offers: dict[str, int]) -> None:
        if name not in self.servers:
            raise Refused("server.unknown")
        self.servers[name].offers = offers

    def retire_server(self, name: str) -> None:
        for playbook in self.playbooks.values():
            numbers = {len(playbook.versions), *playbook.pins.values(), *filter(None, [playbook.canary])}
            if playbook.served and any(name in playbook.versions[n - 1].definition.servers for n in numbers):
                raise Refused("server.in_use")
        if name not in self.servers:
            raise Refused("server.unknown")
        del self.servers[name]

    def publish(self, name: str, definition: Definition, why: Why, accept: bool) -> None:
        if not definition.servers <= self.servers.keys():
            raise Refused("file.invalid")
        playbook = self.playbook(name)
        self._may_change_policy(playbook, definition, why)
        held = self.held_now(name)
        if accept and held:
            self._may_approve(playbook, why)
        if playbook.served and playbook.current.definition == definition:
            if accept and held:
                self._approve(playbook, held, why)
            return
        pins = self.offered(definition) if accept else self._approved_only(playbook, definition, held)
        playbook.canary = 0
        self.playbooks[name] = playbook
        playbook.add(Version(definition, pins, "published", why.actor, why.comment))

    def edit_draft(self, name: str, definition: Definition, expected: int | None) -> None:
        draft, playbook = self.draft(name), self.playbook(name)
        if expected != draft.open and (expected is not None or draft.open):
            raise Refused("draft.stale")
        before = draft.definition or (playbook.current.definition if playbook.versions else None)
        if definition != before:
            base = draft.base if draft.open else len(playbook.versions)
            self.drafts[name] = Draft(draft.revision + 1, base, definition)

    def discard_draft(self, name: str, expected: int | None) -> None:
        self._wanted(name, expected)
        self.draft(name).definition = None

    def publish_draft(self, name: str, expected: int | None, why: Why, accept: bool) -> None:
        wanted, draft, playbook = self._wanted(name, expected), self.draft(name), self.playbook(name)
        if playbook.versions and draft.base != len(playbook.versions):
            begun = playbook.versions[draft.base - 1].definition if draft.base else None
            if playbook.current.definition not in (begun, wanted):
                raise Refused("draft.outdated")
        self.publish(name, wanted, why, accept)
        draft.definition = None

    def _wanted(self, name: str, expected: int | None) -> Definition:
        draft = self.draft(name)
        if draft.definition is None:
            raise Refused("draft.unknown")
        if expected not in (None, draft.open):
            raise Refused("draft.stale")
        return draft.definition

    def _approved_only(self, playbook: Playbook, definition: Definition, held: dict[Tool, int]) -> Said:
        fresh = self.offered(definition)
        if not playbook.versions:
            return fresh
        before, policy, pins = playbook.baseline, definition.policy, {}
        for tool, said in fresh.items():
            if tool not in before:
                if not policy.hold_added or tool not in held:
                    pins[tool] = said
            else:
                pins[tool] = before[tool] if policy.hold_changed else said
        if policy.hold_removed:
            wanted = [t for t, said in held.items() if not said and t[0] in definition.servers]
            pins |= {t: before[t] for t in wanted if t[1] not in definition.deny and t not in pins}
        return pins

    def roll_back(self, name: str, to: int, expected: int | None, why: Why) -> None:
        playbook = self._served(name)
        if expected is not None and expected != len(playbook.versions):
            raise Refused("playbook.revision_stale")
        then = self._version(playbook, to)
        self._registered(then)
        self._may_change_policy(playbook, then.definition, why)
        if then.content != playbook.current.content:
            playbook.canary = 0
            playbook.add(Version(then.definition, then.pins, "rolled_back", why.actor, why.comment, to))

    def approve(self, name: str, tools: dict[Tool, int], why: Why) -> None:
        self._approve(*self._decided(name, tools, why), why)

    def reject(self, name: str, tools: dict[Tool, int], why: Why) -> None:
        self._decided(name, tools, why)

    def _decided(self, name: str, tools: dict[Tool, int], why: Why) -> tuple[Playbook, dict[Tool, int]]:
        playbook = self._served(name)
        self._may_approve(playbook, why)
        held = self.held_now(name)
        for tool, said in tools.items():
            if tool not in held:
                raise Refused("drift.unknown")
            if held[tool] != said:
                raise Refused("drift.stale")
        return playbook, tools

    def _approve(self, playbook: Playbook, tools: dict[Tool, int], why: Why) -> None:
        pins = {**playbook.baseline, **{t: said for t, said in tools.items() if said}}
        pins = {t: said for t, said in pins.items() if tools.get(t) != 0}
        playbook.add(Version(playbook.current.definition, pins, "drift_approved", why.actor, why.comment))

    def pin(self, name: str, client: str, version: int) -> None:
        playbook = self._served(name)
        self._registered(self._version(playbook, version))
        playbook.pins[client] = version

    def unpin(self, name: str, client: str) -> None:
        self._served(name).pins.pop(client, None)

    def start_canary(self, name: str, version: int) -> None:
        playbook = self._served(name)
        if playbook.canary:
            raise Refused("canary.running")
        tried = self._version(playbook, version)
        if tried.content == playbook.current.content:
            raise Refused("argument.invalid")
        self._registered(tried)
        playbook.canary = version

    def promote_canary(self, name: str, why: Why) -> None:
        playbook = self._served(name)
        if not playbook.canary:
            raise Refused("canary.unknown")
        tried = playbook.versions[playbook.canary - 1]
        self._registered(tried)
        playbook.add(Version(tried.definition, tried.pins, "promoted", why.actor, why.comment, playbook.canary))
        playbook.canary = 0

    def stop_canary(self, name: str) -> None:
        playbook = self._served(name)
        if not playbook.canary:
            raise Refused("canary.unknown")
        playbook.canary = 0

    def retire(self, name: str) -> None:
        playbook = self._served(name)
        playbook.retired, playbook.pins, playbook.canary = True, {}, 0

    def exported(self, name: str) -> Exported:
        used = self.playbooks[name].current.definition.servers & self.servers.keys()
        return Exported(tuple(self.playbooks[name].versions), {s: self.servers[s].definition for s in used})

    def bring_in(self, name: str, file: Exported, register: bool) -> None:
        missing = file.versions[-1].definition.servers - self.servers.keys()
        if missing and (not register or not missing <= file.servers.keys()):
            raise Refused("server.unknown")
        if name in self.playbooks:
            raise Refused("playbook.exists")
        for server in missing:
            self.servers[server] = Server(file.servers[server])
        playbook = self.playbooks[name] = Playbook()
        for version in file.versions:
            playbook.add(replace(version))

    # --- who may, and what there is -----------------------------------------------------------------------

    def _served(self, name: str) -> Playbook:
        playbook = self.playbook(name)
        if not playbook.served:
            raise Refused("playbook.unknown")
        return playbook

    def _version(self, playbook: Playbook, number: int) -> Version:
        if not 0 < number <= len(playbook.versions):
            raise Refused("playbook.version_unknown")
        return playbook.versions[number - 1]

    def _registered(self, version: Version) -> None:
        if not version.definition.servers <= self.servers.keys():
            raise Refused("server.unknown")

    def _may_approve(self, playbook: Playbook, why: Why) -> None:
        if playbook.versions and playbook.current.definition.policy.approver not in ("", why.actor):
            raise Refused("auth.forbidden")

    def _may_change_policy(self, playbook: Playbook, wanted: Definition, why: Why) -> None:
        if playbook.versions and playbook.current.definition.policy != wanted.policy:
            self._may_approve(playbook, why)
