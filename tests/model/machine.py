"""The machine: any sequence of commands, crashes and rebuilds, on the gateway and on the model, compared after each.

After every step the router that took it holds what the model says; every so often, and at the end, both routers,
the read models, a rebuild of them and the chain are compared too.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, TypeVar

import asyncpg
import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from callboard.contracts.assignments import EndCanary, PinClient, PromoteCanary, StartCanary, UnpinClient
from callboard.contracts.drafts import DiscardDraft, DraftStep, EditDraft, PublishDraft
from callboard.contracts.drift import ApproveDrift, DriftChoice, RejectDrift
from callboard.contracts.playbooks import (
    ApplyOrganisation,
    ExportedPlaybook,
    ImportPlaybook,
    RecordCatalogue,
    RetirePlaybook,
    RetireServer,
    RollBackPlaybook,
)
from callboard.contracts.problems import Problem
from callboard.kernel.digest import digest_of
from tests.model.gateway import NOW, Crashed, Gateway, catalogue, said, server, written
from tests.model.model import POLICIES, Definition, Exported, Organisation, Policy, Refused, Tool, Why
from tests.support.waiting import PATIENCE

Value = TypeVar("Value")
SERVERS, PLAYBOOKS, CLIENTS, TOOLS = ("git", "time"), ("start", "other", "third"), ("ann", "bob"), ("log", "diff")
PROJECTIONS = ("playbooks", "assignments", "servers", "organisations", "definitions")

playbooks, servers, clients = st.sampled_from(PLAYBOOKS), st.sampled_from(SERVERS), st.sampled_from(CLIENTS)
offers = st.fixed_dictionaries({}, optional=dict.fromkeys(TOOLS, st.integers(min_value=1, max_value=3)))
reasons = st.builds(Why, clients, st.sampled_from(("because", "again")))
definitions = st.builds(
    Definition,
    st.sampled_from(("One", "Two")),
    st.frozensets(servers, min_size=1),
    st.frozensets(st.sampled_from(TOOLS), max_size=1),
    st.sampled_from(POLICIES),
)


class Differs(AssertionError):
    """The gateway is not what the model says."""


class Steps:
    """How many there were, over all examples."""

    def __init__(self) -> None:
        self.taken = 0
        self.examples = 0
        self.events = 0
        self.refused = 0
        self.by_rule: dict[str, int] = {}


class Machine(RuleBasedStateMachine):
    """Set `loop`, `pool`, `gateway_type` and `steps` in a subclass."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    pool: ClassVar[asyncpg.Pool]
    steps: ClassVar[Steps]
    gateway_type: ClassVar[type[Gateway]] = Gateway

    def __init__(self) -> None:
        super().__init__()
        self.model = Organisation()
        self.steps.examples += 1
        self.gateway = self.gateway_type(self.pool, f"m{self.steps.examples}")
        self.files: list[tuple[ExportedPlaybook, Exported]] = []
        self.last: tuple[Any, int] | None = None
        self.rebuilding = ""

    # --- commands -----------------------------------------------------------------------------------------

    @initialize(policy=st.sampled_from(POLICIES), offered=st.fixed_dictionaries(dict.fromkeys(SERVERS, offers)))
    def begin(self, policy: Policy, offered: dict[str, dict[str, int]]) -> None:
        """Two servers that answer, and a playbook with both."""
        self.run(self.gateway.wipe())
        self.run(self.gateway.create())
        why = Why("ann", "first")
        for name, answer in offered.items():
            self.gateway.offers[name] = answer
            self.take(self._apply({name: 1}, {}, why), partial(self.model.define, name, 1, answer), 0)
        wanted = Definition("One", frozenset(SERVERS), frozenset(), policy)
        self.take(self._apply({}, {"start": wanted}, why), lambda: self.model.publish("start", wanted, why, False), 0)

    @rule(name=servers, number=st.integers(min_value=1, max_value=2), answer=st.none() | offers, turn=st.data())
    def define_server(self, name: str, number: int, answer: dict[str, int] | None, turn: Any) -> None:
        self.gateway.offers[name] = answer
        command = self._apply({name: number}, {}, Why("ann", "because"))
        self.both(command, lambda: self.model.define(name, number, answer), turn)

    @rule(name=servers, answer=offers, turn=st.data())
    def server_says_something_else(self, name: str, answer: dict[str, int], turn: Any) -> None:
        command = RecordCatalogue(
            command_id=new_id(), organisation=self.gateway.organisation, server=name, digest=digest_of(answer),
            catalogue=catalogue(answer), producer="connectors/model",
        )  # fmt: skip
        self.both(command, lambda: self.model.discovered(name, answer), turn)

    @rule(name=servers, turn=st.data())
    def retire_server(self, name: str, turn: Any) -> None:
        command = RetireServer(**self._named(Why("ann", "because")), server=name)
        self.both(command, lambda: self.model.retire_server(name), turn)

    @rule(name=playbooks, wanted=definitions, why=reasons, accept=st.booleans(), turn=st.data())
    def publish(self, name: str, wanted: Definition, why: Why, accept: bool, turn: Any) -> None:
        command = self._apply({}, {name: wanted}, why, accept)
        self.both(command, lambda: self.model.publish(name, wanted, why, accept), turn)

    @rule(why=reasons, accept=st.booleans(), turn=st.data())
    def edit(self, why: Why, accept: bool, turn: Any) -> None:
        """Another title, other filters, or nothing new: the rest of the definition stays."""
        name = self.some_playbook(turn)
        titles, filters = st.sampled_from(("One", "Two", "Three")), st.frozensets(st.sampled_from(TOOLS), max_size=1)
        before = self.model.playbooks[name].current.definition
        self.publish(name, before._replace(title=turn.draw(titles), deny=turn.draw(filters)), why, accept, turn)

    @rule(name=playbooks, wanted=definitions, expected=st.integers(-1, 1), why=reasons, turn=st.data())
    def edit_draft(self, name: str, wanted: Definition, expected: int, why: Why, turn: Any) -> None:
        """Most edits are small ones of what there is; now and then somebody edits what is not there any more."""
        playbook = self.model.playbook(name)
        if playbook.versions and expected:
            wanted = playbook.current.definition._replace(title=wanted.title, deny=wanted.deny)
        revision = self._looked_at(name, expected)
        edits = (DraftStep(path=(), value=msgspec.to_builtins(written(wanted))),)
        command = EditDraft(**self._named(why), playbook=name, edits=edits, expected=revision)
        self.both(command, lambda: self.model.edit_draft(name, wanted, revision), turn)

    @rule(name=playbooks, expected=st.integers(-1, 1), accept=st.booleans(), why=reasons, turn=st.data())
    def publish_draft(self, name: str, expected: int, accept: bool, why: Why, turn: Any) -> None:
        name = next((other for other in PLAYBOOKS if self.model.draft(other).open), name)
        revision = self._looked_at(name, expected)
        command = PublishDraft(**self._named(why), playbook=name, expected_revision=revision, accept_drift=accept)
        self.both(command, lambda: self.model.publish_draft(name, revision, why, accept), turn)

    @rule(name=playbooks, expected=st.integers(-1, 1), why=reasons, turn=st.data())
    def discard_draft(self, name: str, expected: int, why: Why, turn: Any) -> None:
        revision = self._looked_at(name, expected)
        command = DiscardDraft(**self._named(why), playbook=name, expected=revision)
        self.both(command, lambda: self.model.discard_draft(name, revision), turn)

    def _looked_at(self, name: str, expected: int) -> int | None:
        """The revision that somebody looked at: this one (1), one that is not there any more (-1), or none (0)."""
        open_now = self.model.draft(name).open
        return None if expected == 0 else open_now if expected == 1 else open_now + 1

    @rule(why=reasons, turn=st.data())
    def roll_back(self, why: Why, turn: Any) -> None:
        name = self.some_playbook(turn)
        self._back(name, self.some_version(name, turn), None, why, turn)

    @rule(why=reasons, late=st.booleans(), turn=st.data())
    def undo(self, why: Why, late: bool, turn: Any) -> None:
        name = self.some_playbook(turn)
        current = len(self.model.playbooks[name].versions)
        self._back(name, current - 1, current - late, why, turn)

    def _back(self, name: str, to: int, expected: int | None, why: Why, turn: Any) -> None:
        command = RollBackPlaybook(**self._named(why), playbook=name, to=to, expected=expected)
        self.both(command, lambda: self.model.roll_back(name, to, expected, why), turn)

    @rule(name=playbooks, approves=st.booleans(), one=st.booleans(), stale=st.integers(0, 5), turn=st.data())
    def decide_drift(self, name: str, approves: bool, one: bool, stale: int, turn: Any) -> None:
        name = next((other for other in PLAYBOOKS if self.model.held_now(other)), name)
        tools = dict(sorted(self.model.held_now(name).items())[: 1 if one else None]) or {(SERVERS[0], TOOLS[0]): 1}
        if stale == 5:
            tools = {tool: number % 3 + 1 for tool, number in tools.items()}
        things = tuple(DriftChoice(name=shown(tool), after=said(tool[1], number)) for tool, number in tools.items())
        kind, decided = (ApproveDrift, self.model.approve) if approves else (RejectDrift, self.model.reject)
        why = turn.draw(reasons)
        command = kind(**self._named(why), playbook=name, things=things)
        self.both(command, lambda: decided(name, tools, why), turn)

    @rule(client=clients, why=reasons, turn=st.data())
    def pin(self, client: str, why: Why, turn: Any) -> None:
        name = self.some_playbook(turn)
        version = self.some_version(name, turn)
        command = PinClient(**self._named(why), playbook=name, client=client, version=version)
        self.both(command, lambda: self.model.pin(name, client, version), turn)

    @rule(client=clients, why=reasons, turn=st.data())
    def unpin(self, client: str, why: Why, turn: Any) -> None:
        name = self.some_playbook(turn)
        command = UnpinClient(**self._named(why), playbook=name, client=client)
        self.both(command, lambda: self.model.unpin(name, client), turn)

    @rule(why=reasons, turn=st.data())
    def start_canary(self, why: Why, turn: Any) -> None:
        name = self.some_playbook(turn)
        version = self.some_version(name, turn)
        command = StartCanary(
            **self._named(why), playbook=name, version=version, percent=10, until=NOW + timedelta(hours=2),
            condition="errors > 2%", min_calls=50,
        )  # fmt: skip
        self.both(command, lambda: self.model.start_canary(name, version), turn)

    @rule(promote=st.booleans(), why=reasons, turn=st.data())
    def end_canary(self, promote: bool, why: Why, turn: Any) -> None:
        name = self.some_playbook(turn)
        if promote:
            command: Any = PromoteCanary(**self._named(why), playbook=name)
            self.both(command, lambda: self.model.promote_canary(name, why), turn)
        else:
            command = EndCanary(**self._named(why), playbook=name)
            self.both(command, lambda: self.model.stop_canary(name), turn)

    @rule(why=reasons, turn=st.data())
    def retire(self, why: Why, turn: Any) -> None:
        name = self.some_playbook(turn)
        self.both(RetirePlaybook(**self._named(why), playbook=name), lambda: self.model.retire(name), turn)

    @rule(turn=st.data())
    def export(self, turn: Any) -> None:
        name = self.some_playbook(turn)
        exported = self.run(self.gateway.reads.export(self.gateway.organisation, name)).exported
        self.files.append((exported, self.model.exported(name)))
        self.counted("export")

    @precondition(lambda self: self.files)
    @rule(name=playbooks, register=st.booleans(), why=reasons, turn=st.data())
    def bring_in(self, name: str, register: bool, why: Why, turn: Any) -> None:
        file, same = turn.draw(st.sampled_from(self.files))
        command = ImportPlaybook(**self._named(why), playbook=name, exported=file, register_servers=register)
        self.both(command, lambda: self.model.bring_in(name, same, register), turn)

    def some_playbook(self, turn: Any) -> str:
        """One that there is or was."""
        name: str = turn.draw(st.sampled_from(sorted(self.model.playbooks)))
        return name

    def some_version(self, name: str, turn: Any) -> int:
        """One that there is, the one before the first, or the one after the newest."""
        number: int = turn.draw(st.integers(min_value=0, max_value=len(self.model.playbooks[name].versions) + 1))
        return number

    # --- what goes wrong, and what is done about it ---------------------------------------------------------

    @precondition(lambda self: self.last is not None)
    @rule(router=st.integers(min_value=0, max_value=1), altered=st.booleans())
    def the_last_command_comes_again(self, router: int, altered: bool) -> None:
        """It had an effect: it gets its answer again, and nothing happens; with another text it is refused."""
        assert self.last is not None
        command, height = self.last
        code = ""
        if altered and not isinstance(command, RecordCatalogue):
            command = type(command)(**{f: getattr(command, f) for f in command.__struct_fields__} | {"comment": "new"})
            code = "command.reused"
        self.agree(self.handled(router, command), code, command)
        self.agree(self.run(self.gateway.height()), height, "events after a repetition")
        self.compare_router(router)
        self.counted("repeat")

    @rule(router=st.integers(min_value=0, max_value=1))
    def a_router_crashes(self, router: int) -> None:
        self.gateway.restart_router(router)
        self.compare_router(router)
        self.counted("crash of a router")

    @rule(name=st.sampled_from(PROJECTIONS), limit=st.integers(min_value=1, max_value=5))
    def the_projections_crash_in_a_batch(self, name: str, limit: int) -> None:
        self.run(self.gateway.fold_and_crash(name, limit))
        self.counted("crash of the projections")

    @precondition(lambda self: not self.rebuilding)
    @rule(name=st.sampled_from(PROJECTIONS))
    def a_rebuild_begins(self, name: str) -> None:
        """It goes on while the next steps are taken."""
        self.run(self.gateway.rebuilds.begin(name))
        self.rebuilding = name
        self.counted("rebuild")

    @rule(everything=st.integers(min_value=0, max_value=3))
    def look(self, everything: int) -> None:
        """Compare what readers see; now and then all of it."""
        self.compare_read_models()
        if everything == 0:
            for router in range(2):
                self.compare_router(router)
        self.counted("look")

    def teardown(self) -> None:
        try:
            if hasattr(self, "gateway") and self.run(self.gateway.store.heads()):
                self.compare_read_models()
                self.finish_rebuild()
                self.compare_read_models()
                for router in range(2):
                    self.compare_router(router)
                self.agree(self.run(self.gateway.is_intact()), True, "the chain")
        finally:
            self.run(self.gateway.rebuilds.close())

    # --- the two, side by side --------------------------------------------------------------------------------

    def both(self, command: Any, modelled: Callable[[], None], turn: Any) -> None:
        """Give the command to a router, which perhaps crashes at it, and the same to the model."""
        router = turn.draw(st.integers(min_value=0, max_value=1))
        self.gateway.store.crash = turn.draw(st.sampled_from(("", "", "", "", "", "", "before", "after")))
        self.take(command, modelled, router)

    def take(self, command: Any, modelled: Callable[[], None], router: int) -> None:
        """Both take it: both do the same, or refuse it for the same reason."""
        crash, expected = self.gateway.store.crash, ""
        try:
            modelled()
            self.model.settle()
        except Refused as refused:
            expected = str(refused)
        try:
            found = self.handled(router, command)
        except Crashed:
            # Its caller had no answer, and asks again with the same id; here the other router.
            self.gateway.restart_router(router)
            router = 1 - router
            found = self.handled(router, command)
            self.counted(f"crash {crash} the append")
        self.gateway.store.crash = ""
        self.agree(found, expected, command)
        if expected:
            self.steps.refused += 1
        else:
            height = self.run(self.gateway.height())
            self.steps.events += height - (self.last[1] if self.last is not None else 1)
            self.last = (command, height)
        self.compare_router(router)
        self.counted(type(command).__name__)

    def handled(self, router: int, command: Any) -> str:
        """ "", or the code with which it was refused."""
        try:
            self.run(self.gateway.routers[router].handle(command))
        except Problem as problem:
            return problem.code
        return ""

    def compare_router(self, number: int) -> None:
        """What this router serves."""
        router = self.gateway.routers[number]
        state = self.run(router.current())
        self.agree(sorted(state.registered()), sorted(self.model.servers), "servers")
        compiled = router.served.all()
        for name in PLAYBOOKS:
            with self.about(name):
                playbook, found = self.model.playbook(name), state.playbook(name)
                draft, modelled = state.draft(name), self.model.draft(name)
                self.agree(draft.open, modelled.open, "revision of the draft")
                wanted = None if modelled.definition is None else written(modelled.definition)
                self.agree(draft.definition, wanted, "draft")
                self.agree(found.served, playbook.served, "served")
                self.agree(found.current, len(playbook.versions), "versions")
                self.agree(dict(found.pins), playbook.pins, "pins")
                self.agree(found.canary.version if found.canary else 0, playbook.canary, "canary")
                place = (self.gateway.organisation, name)
                if not playbook.served:
                    self.agree(place in compiled, False, "compiled")
                    continue
                tools = {route.wire: route.digest for route in compiled[place].tools.values()}
                self.agree(tools, digests(self.model.shown(name)), "tools")
                held = {name: drift.after for (_, name), drift in compiled[place].held.items()}
                self.agree(held, digests(self.model.held_now(name)), "held")

    def compare_read_models(self) -> None:
        """What the questions about the organisation answer."""
        reads, organisation = self.gateway.reads, self.gateway.organisation
        lines = {line.playbook: line for line in self.run(reads.playbooks(organisation)).playbooks}
        self.agree(sorted(lines), sorted(self.model.playbooks), "playbooks")
        pins = {(pin.playbook, pin.client): pin.version for pin in self.run(reads.pins(organisation, "")).pins}
        modelled = {(n, c): v for n, p in self.model.playbooks.items() for c, v in p.pins.items()}
        self.agree(pins, modelled, "read model of pins")
        registered = {line.server: line.definition for line in self.run(reads.servers(organisation)).servers}
        defined = {name: server(found.definition) for name, found in self.model.servers.items()}
        self.agree(registered, defined, "read model of servers")
        for name, line in lines.items():
            with self.about(name):
                self._compare_line(line, name)

    def _compare_line(self, line: Any, name: str) -> None:
        playbook, organisation = self.model.playbooks[name], self.gateway.organisation
        self.agree((line.retired, line.version), (playbook.retired, len(playbook.versions)), "line")
        self.agree(line.canary.version if line.canary else 0, playbook.canary, "read model of canaries")
        history = self.run(self.gateway.reads.history(organisation, name)).versions
        self.agree(
            [(v.reason, v.actor, v.comment, v.rolled_back_to, v.tools) for v in reversed(history)],
            [(v.reason, v.actor, v.comment, v.rolled_back_to, len(v.pins)) for v in playbook.versions],
            "history",
        )
        content = self.run(self.gateway.reads.version(organisation, name, 0)).content
        self.agree({n: e.digest for n, e in content.tools.items()}, digests(playbook.current.pins), "content")
        self.agree(content.definition, written(playbook.current.definition), "definition")

    def finish_rebuild(self) -> None:
        """Wait for the rebuild that runs; what it made from zero is what was there."""
        if self.rebuilding:
            done = self.run(self._rebuilt(self.rebuilding))
            self.agree((done.state, done.problem), ("done", ""), f"rebuild of {self.rebuilding}")
            self.agree(done.checksum_after, done.checksum_before, "checksum")
            self.rebuilding = ""

    async def _rebuilt(self, name: str) -> Any:
        async with asyncio.timeout(PATIENCE):
            while (state := await self.gateway.rebuilds.state(name)).state == "running":
                await asyncio.sleep(0)
        return state

    # --- small things ------------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return self.loop.run_until_complete(work)

    def counted(self, name: str) -> None:
        self.steps.taken += 1
        self.steps.by_rule[name] = self.steps.by_rule.get(name, 0) + 1

    def agree(self, found: Any, expected: Any, what: Any) -> None:
        if found != expected:
            raise Differs(f"{what}: the gateway says {found!r}, the model {expected!r}")

    @contextmanager
    def about(self, name: str) -> Iterator[None]:
        try:
            yield
        except Differs as difference:
            raise Differs(f"playbook {name}: {difference}") from None

    def _named(self, why: Why) -> dict[str, str]:
        return {"command_id": new_id(), "organisation": self.gateway.organisation, "comment": why.comment} | (
            {"actor": why.actor}
        )

    def _apply(
        self, defined: dict[str, int], wanted: dict[str, Definition], why: Why, accept: bool = False
    ) -> ApplyOrganisation:
        return ApplyOrganisation(
            **self._named(why), servers={name: server(number) for name, number in defined.items()},
            playbooks={name: written(definition) for name, definition in wanted.items()}, accept_drift=accept,
        )  # fmt: skip


def digests(tools: dict[Tool, int]) -> dict[str, str]:
    """What the model says of tools, as the gateway says it."""
    return {shown(tool): said(tool[1], number) for tool, number in tools.items()}


def shown(tool: Tool) -> str:
    """The name that agents see."""
    return f"{tool[0]}__{tool[1]}"


def new_id() -> str:
    return str(uuid.uuid4())
