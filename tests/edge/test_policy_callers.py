"""Policies that name persons: what would not hold for them is refused while it can still be said otherwise."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callboard.contracts.personal import AskPersons, OpenedPersonal, OpenPersonal, PersonLine, Persons
from callboard.contracts.policies import AskPolicies, Policies, PolicyLine
from callboard.contracts.policy_definitions import PolicyCallers, PolicyDefinition
from callboard.contracts.problems import Problem
from callboard.kernel.personal import join, person_id
from callboard.platform.bus import Bus
from callboard_edge.api.names import Names
from callboard_edge.policies.callers import refuse_unheld, sealed
from tests.contracts.golden import WHEN

JANE = join(person_id(bytes(10)), bytes(16))


def for_clients(*clients: str) -> PolicyDefinition:
    return PolicyDefinition(callers=PolicyCallers(clients=clients))


class Behind:
    """authsvc, which knows the person `jane` and one that was erased, and a router with these policies."""

    def __init__(self, *held: PolicyDefinition) -> None:
        self.held = tuple(PolicyLine(policy=f"p{number}", definition=one) for number, one in enumerate(held))

    async def ask(self, subject: str, question: Any, answer: Any) -> Any:
        match question:
            case AskPersons(person=person):
                erased = PersonLine(person=person_id(bytes(9) + b"x"), name="", known_since=WHEN, erased_at=WHEN)
                lines = (PersonLine(person=person_id(bytes(10)), name=JANE, known_since=WHEN), erased)
                return Persons(persons=lines if not person else lines[:1] if person == "jane" else ())
            case OpenPersonal():
                return OpenedPersonal(opened={one: "jane" for one in question.sealed if one == JANE})
            case AskPolicies():
                return Policies(policies=self.held, switched_off=())
        raise AssertionError(question)


async def said(*clients: str) -> tuple[str, ...]:
    bus = cast("Bus", Behind())
    definition = await sealed(bus, Names(bus), "acme", for_clients(*clients))
    assert definition.callers is not None
    return definition.callers.clients


async def test_a_person_is_sealed_and_a_glob_without_a_person_stays() -> None:
    assert await said("jane", "bot", "bot-*") == (JANE, "bot", "bot-*")
    assert await said("*") == ("*",)
    assert await said("ja*", "jane") == ("ja*", JANE), "who is named besides is meant"


@pytest.mark.parametrize("glob", ["ja*", "j?ne", "[j]ane", "*e"])
async def test_a_glob_that_has_the_name_of_a_person_is_refused(glob: str) -> None:
    with pytest.raises(Problem, match="whom globs never concern") as refusal:
        await said("bot-*", glob)
    assert refusal.value.code == "policy.invalid"
    assert "jane" not in str(refusal.value), "told by the id"


@pytest.mark.parametrize("client", ["petra", "pe*"])
async def test_nobody_becomes_a_person_whom_a_policy_already_names_in_vain(client: str) -> None:
    with pytest.raises(Problem, match="policy p1 names petra") as refusal:
        await refuse_unheld(cast("Bus", Behind(PolicyDefinition(), for_clients("bot", client))), "acme", "petra")
    assert refusal.value.code == "person.named"
    others = Behind(PolicyDefinition(), for_clients("*", JANE, "peter"))
    await refuse_unheld(cast("Bus", others), "acme", "petra")
