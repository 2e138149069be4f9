"""Persons among the callers that policies name: the log has their names sealed, so a glob can never be matched to one.

What nobody may believe to hold is refused: a glob that has the name of a person when the policy is set, and a person's
first token while a policy has that name unsealed (it was said of agents, before there was such a person).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from callboard.contracts import policy_subjects, subjects
from callboard.contracts.personal import AskPersons, OpenedPersonal, OpenPersonal, Persons
from callboard.contracts.policies import AskPolicies, Policies
from callboard.contracts.policy_definitions import PolicyDefinition, is_glob
from callboard.contracts.problems import Problem
from callboard.kernel.names import first_match
from callboard.platform.bus import Bus
from callboard_edge.api.names import Names


async def sealed(bus: Bus, names: Names, organisation: str, definition: PolicyDefinition) -> PolicyDefinition:
    """Persons among its clients as the log has them. Raises `policy.invalid` for globs that seem to name persons."""
    callers = definition.callers
    if callers is None or not callers.clients:
        return definition
    clients = tuple(
        [one if is_glob(one) else await names.sealed(organisation, one) for one in callers.clients],
    )
    faults = [
        {"path": "for.clients", "message": f"{glob!r} has the name of the person {person}, whom globs never concern: "
         "name the person too, or use a narrower glob"}
        for glob, person in await _persons_had(bus, organisation, callers.clients, set(clients))
    ]  # fmt: skip
    if faults:
        raise Problem("policy.invalid", f"for.clients: {faults[0]['message']}", faults=faults)
    return msgspec.structs.replace(definition, callers=msgspec.structs.replace(callers, clients=clients))


async def _persons_had(bus: Bus, organisation: str, clients: Sequence[str], named: set[str]) -> list[tuple[str, str]]:
    """Globs, and the persons whose names they have although these are not named themselves."""
    globs = [one for one in _meant(clients) if is_glob(one)]
    if not globs:
        return []
    persons = (await bus.ask(subjects.PERSONS, AskPersons(organisation=organisation), Persons)).persons
    others = {line.name: line.person for line in persons if line.name and line.name not in named}
    if not others:
        return []
    question = OpenPersonal(organisation=organisation, sealed=tuple(others))
    opened = (await bus.ask(subjects.OPEN_PERSONAL, question, OpenedPersonal)).opened
    found = ((first_match(globs, opened.get(name, "")), person) for name, person in others.items())
    return [(glob, person) for glob, person in found if glob is not None]


def _meant(clients: Sequence[str]) -> Iterator[str]:
    """Without `*`, which does concern persons."""
    return (one for one in clients if one.strip("*"))


async def refuse_unheld(bus: Bus, organisation: str, name: str) -> None:
    """Raise `person.named` while a policy says this name in a way in which it would not concern the person."""
    held = await bus.ask(policy_subjects.POLICIES, AskPolicies(organisation=organisation), Policies)
    for line in held.policies:
        callers = line.definition.callers
        if callers is not None and first_match([*_meant(callers.clients)], name) is not None:
            raise Problem(
                "person.named",
                f"policy {line.policy} names {name}, but was set before that was a person, whom it would not concern",
                policy=line.policy,
            )
