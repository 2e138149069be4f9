"""The properties, for the tests and for a soak: so many examples of one kind through a running rig."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase
from hypothesis.strategies import SearchStrategy

from tests.fidelity.checks import Change, Unfaithful, check_answer, check_named, check_request, compare_definition
from tests.fidelity.definitions import Definition, definitions
from tests.fidelity.exact import member, text_of
from tests.fidelity.rewrites import wire_name
from tests.fidelity.rig import Leg, Rig, listed, publish
from tests.fidelity.strategies import Example, Request, examples, requests
from tests.support.upstreams.scripted import FIRST, KINDS, Lists

CALLED = 20
"""So many of each kind are called too."""
METHOD_OF = {kind: method for method, kind in KINDS.items()}
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]


def _budget(count: int, database: ExampleDatabase | None) -> settings:
    phases = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
    return settings(
        max_examples=count, deadline=None, database=database, suppress_health_check=_SLOW, phases=phases,
        print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip


def _run(
    check: Callable[[object], None], strategy: SearchStrategy[object], count: int, number: int,
    database: ExampleDatabase | None,
) -> None:  # fmt: skip
    def one(example: object) -> None:
        check(example)

    with _seed_in_failures(number):
        seed(number)(_budget(count, database)(given(strategy)(one)))()


@contextmanager
def _seed_in_failures(number: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(
            f"again: CALLBOARD_FIDELITY_SEED={number}, or python -m tests.fidelity --minutes 0 --seed {number}"
        )
        raise


def answers(
    rig: Rig, count: int, number: int, database: ExampleDatabase | None = None, change: Change | None = None
) -> None:
    """What an upstream answers reaches every client; `number` is the seed."""

    def check(drawn: object) -> None:
        leg, example = drawn  # type: ignore[misc]  # the strategy below
        rig.runner.run(check_answer(rig.legs[leg], example, change))
        rig.count("answers")

    _run(check, _on_a_leg(rig, examples()), count, number, database)


def asked(rig: Rig, count: int, number: int, database: ExampleDatabase | None = None) -> None:
    """What a client asks reaches every upstream."""

    def check(drawn: object) -> None:
        leg, request = drawn  # type: ignore[misc]  # the strategy below
        rig.runner.run(check_request(rig.legs[leg], request))
        rig.count("requests")

    _run(check, _on_a_leg(rig, requests()), count, number, database)


def _on_a_leg(rig: Rig, strategy: SearchStrategy[Example] | SearchStrategy[Request]) -> SearchStrategy[object]:
    return st.tuples(st.integers(0, len(rig.legs) - 1), strategy)


def defined(rig: Rig, count: int, number: int) -> None:
    """What an upstream lists is listed: all definitions of a run are published together, then compared one by one."""
    drawn: list[Definition] = []
    budget = _budget(count, None)

    def take(definition: Definition) -> None:
        drawn.append(definition)

    seed(number)(settings(budget, phases=(Phase.generate,))(given(definitions)(take)))()
    lists, numbered = _as_lists(drawn)
    with _seed_in_failures(number):
        for leg in rig.legs:
            rig.runner.run(_check_lists(leg, lists))
    rig.counted["definitions"] = rig.counted.get("definitions", 0) + len(numbered)


def _as_lists(drawn: list[Definition]) -> tuple[dict[str, list[str]], list[str]]:
    texts = [(each.kind, each.numbered(number)) for number, each in enumerate(drawn)]
    return {kind: [text for of, text in texts if of == kind] for kind in METHOD_OF}, [text for _, text in texts]


async def _check_lists(leg: Leg, lists: dict[str, list[str]]) -> None:
    marker = f'{{"name":"say","title":"{leg.published + 1}","inputSchema":{{"type":"object"}}}}'
    first = {"prompts": FIRST.prompts, "resources": FIRST.resources, "resourceTemplates": FIRST.resource_templates}
    whole = {"tools": [marker, *lists["tools"]], **{kind: [*more, *lists[kind]] for kind, more in first.items()}}
    await publish(leg, Lists(whole["tools"], whole["prompts"], whole["resources"], whole["resourceTemplates"]))
    for kind, method in METHOD_OF.items():
        direct = await listed(leg.direct, method)
        assert len(direct) == len(whole[kind]), "the upstream does not list what was published"
        for client, prefix in ((leg.bare, ""), *((route.client, leg.prefix) for route in leg.routes[:2])):
            got = await listed(client, method)
            try:
                compare_lists(direct, got, prefix, kind)
            except Unfaithful as unfaithful:
                raise Unfaithful(f"{leg.name} to a {client.era} client, prefix {prefix!r}: {unfaithful}") from None
        if kind != "resourceTemplates":
            for name in _names(direct, kind)[:: max(1, len(direct) // CALLED)]:
                await check_named(leg, kind, name)


def compare_lists(direct: list[str], got: list[str], prefix: str, kind: str) -> None:
    """The same definitions in the same order."""
    names = partial(_names, kind=kind)
    wanted = [wire_name(prefix, name) if kind in ("tools", "prompts") else name for name in names(direct)]
    found = names(got)
    if wanted != found:
        missing = [text for name, text in zip(wanted, direct, strict=True) if name not in found]
        order = "" if missing else f", in another order: {wanted} became {found}"
        raise Unfaithful(f"{kind}: {len(missing)} are not listed{order}; the first: {missing[:1]}")
    for said, heard in zip(direct, got, strict=True):
        try:
            compare_definition(said, heard, prefix, kind)
        except Unfaithful as unfaithful:
            raise Unfaithful(f"{unfaithful}\n  of {said[:1500]}") from None


def _names(texts: list[str], kind: str) -> list[str]:
    key = {"resources": "uri", "resourceTemplates": "uriTemplate"}.get(kind, "name")
    return [text_of(member(text.encode(), key) or b'""') for text in texts]
