"""A playbook as policies leave it to one kind of caller: what is denied is not there, whatever asks for it.

It is a compiled playbook like any other, so that lists, calls, reads, prompts, completions, subscriptions, previews
and replays need not know of policies: they cannot find what they may not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from callboard.contracts.calls import RpcHead
from callboard.contracts.previews import Hidden
from callboard.contracts.problems import Problem
from callboard_router.catalogue.compiled import (
    CompiledPlaybook,
    Demanding,
    Limiting,
    RuleBroken,
    ToolRoute,
    said_divided,
)
from callboard_router.catalogue.domain import Entry, Exposure
from callboard_router.catalogue.lists import definition_bytes
from callboard_router.policies.arguments import CompiledArgumentRule
from callboard_router.policies.rights import CompiledPolicy, Denied, Thing, decide
from callboard_router.policies.step_up import demand_of
from callboard_router.policies.uris import is_elsewhere


class _Annotations(msgspec.Struct):
    readOnlyHint: Any = None


class _Tool(msgspec.Struct):
    annotations: _Annotations | None = None


_tool = msgspec.json.Decoder(_Tool).decode


def thing_of(kind: str, entry: Entry, *, look: bool = True) -> Thing:
    """An entry of a playbook as policies see it; templates are resources to them. `look` whether a tool only reads."""
    if kind != "tool":
        return Thing("prompt" if kind == "prompt" else "resource", entry.server, entry.item.name)
    return Thing("tool", entry.server, entry.item.name, look and _says_read_only(entry))


def _says_read_only(entry: Entry) -> bool:
    """By its annotations as agents get them: the playbook may say it better than the server. Unknown is no."""
    try:
        annotations = _tool(definition_bytes(entry)).annotations
    except msgspec.DecodeError:
        return False
    return annotations is not None and annotations.readOnlyHint is True


class PolicedRoute(ToolRoute):
    """The route of a tool whose arguments have rules, or that wants more than ordinary use."""

    __slots__ = ("_route", "_rules", "demand")

    def __init__(
        self, route: ToolRoute, rules: Sequence[tuple[str, CompiledArgumentRule]], demand: Demanding | None
    ) -> None:
        for slot in ToolRoute.__slots__:
            setattr(self, slot, getattr(route, slot))
        self._route = route
        self._rules = rules
        self.demand = demand

    def faults(self, arguments: Any) -> list[str]:
        """The schema's first: a rule may rely on the shape. Raises `RuleBroken`."""
        faults = self._route.faults(arguments)
        if not faults:
            for policy, rule in self._rules:
                fault = rule.fault(arguments)
                if fault is not None:
                    raise RuleBroken(f"policy {policy}, argument rule {fault}")
        return faults


class View(CompiledPlaybook):
    """One playbook under the policies that concern a caller, at a time at which these are open or closed so."""

    def __init__(
        self,
        whole: CompiledPlaybook,
        policies: Sequence[CompiledPolicy],
        off: frozenset[str],
        instant: datetime,
        limits: tuple[Limiting, ...],
    ) -> None:
        # What is not said here anew is as in the whole.
        vars(self).update(vars(whole))
        self.policing = None
        self.limits_of_calls = limits
        self._denied_by = partial(decide, policies, off, instant=instant)
        self._look = any(policy.definition.read_only for policy in policies)
        self.caching = {kind: msgspec.structs.replace(hint, scope="private") for kind, hint in whole.caching.items()}
        self.held = {
            key: drift
            for key, drift in whole.held.items()
            if self._denied_by(thing=Thing(drift.kind, drift.server, drift.item)) is None
        }
        self.exposure = self._restricted(whole.exposure)
        self.tools = {name: _route(whole.tools[name], policies) for name in self.exposure.tools}
        self._hidden_tools = frozenset(whole.tools.keys() - self.tools.keys())
        self._callable = {(route.server, route.name): route.demand for route in self.tools.values()}
        self._show(self.exposure)
        opened = msgspec.json.decode(said_divided(whole.opened))
        self.opened = msgspec.json.encode({**opened, "etags": self.etags})

    def _restricted(self, whole: Exposure) -> Exposure:
        hidden: list[Hidden] = []
        kept = {
            kind: self._allowed(kind, entries, hidden)
            for kind, entries in (
                ("tool", whole.tools),
                ("prompt", whole.prompts),
                ("resource", whole.resources),
                ("template", whole.templates),
            )
        }
        return Exposure(
            tools=kept["tool"],
            prompts=kept["prompt"],
            resources=kept["resource"],
            templates=kept["template"],
            collisions=whole.collisions,
            hidden=(*whole.hidden, *hidden),
        )

    def _allowed(self, kind: Any, entries: Mapping[str, Entry], hidden: list[Hidden]) -> dict[str, Entry]:
        kept = {}
        for name, entry in entries.items():
            denied: Denied | None = self._denied_by(thing=thing_of(kind, entry, look=self._look))
            if denied is None:
                kept[name] = entry
            else:
                where = entry.server, entry.item.name
                hidden.append(Hidden(kind=kind, server=where[0], name=where[1], reason="policy", rule=str(denied)))
        return kept

    def resource_owner(self, uri: str) -> Entry:
        """Found among all that the playbook has, then judged by the URI itself."""
        entry = super().resource_owner(uri)
        self._refuse(entry.server, uri)
        return entry

    def resource_server(self, uri: str) -> tuple[str, str]:
        """The same for a URI of which only the server may be known."""
        server, digest = super().resource_server(uri)
        self._refuse(server, uri)
        return server, digest

    def template_owner(self, uri: str) -> Entry | None:
        """As listed."""
        return self.exposure.templates.get(uri)

    def recorded_as(self, problem: Problem) -> str:
        """The caller hears of an unknown tool; whoever reads the records, that a policy hides it."""
        hidden = problem.code == "tool.unknown" and problem.data.get("tool") in self._hidden_tools
        return "policy.denied" if hidden else problem.code

    def admits_task(self, server: str, tool: str, head: RpcHead) -> bool:
        """As a call of the tool now; of one that the playbook does not have any more only its name can be judged.

        Raises as `Demand.refusal` does.
        """
        if (server, tool) not in self._callable:
            return self._denied_by(thing=Thing("tool", server, tool)) is None
        demand = self._callable[(server, tool)]
        return demand is None or not demand.refusal(head)

    def _refuse(self, server: str, uri: str) -> None:
        denied = self._denied_by(thing=Thing("resource", server, uri))
        if denied is not None or (uri not in self.exposure.resources and is_elsewhere(uri)):
            raise Problem("resource.unknown", f"no server of the playbook has the resource {uri}", uri=uri)


def _route(route: ToolRoute, policies: Sequence[CompiledPolicy]) -> ToolRoute:
    rules = [(policy.name, rule) for policy in policies for rule in policy.argument_rules(route.server, route.name)]
    demand = demand_of(policies, route.server, route.name, route.wire)
    return route if not rules and demand is None else PolicedRoute(route, rules, demand)


def broken_rule(
    policies: Iterable[CompiledPolicy], server: str, tool: str, arguments: Mapping[str, Any]
) -> Denied | None:
    """The first rule about arguments that a call breaks."""
    for policy in policies:
        for rule in policy.argument_rules(server, tool):
            fault = rule.fault(arguments)
            if fault is not None:
                return Denied(policy.name, f"arguments: {fault}")
    return None
