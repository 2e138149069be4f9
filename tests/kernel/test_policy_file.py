"""The policy file: parsed whole or refused whole, with the line of every fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.contracts.policies import SetPolicy
from callboard.kernel.playbook_file import FileRefused
from callboard.kernel.policy_file import parse_policies
from callboard_router.policies.domain import POLICY

EXAMPLE = Path(__file__).parents[2] / "examples" / "policies.yaml"


def test_the_example_is_a_file_whose_policies_are_accepted() -> None:
    file = parse_policies(EXAMPLE.read_text(), "policies.yaml")
    for name, definition in file.policies.items():
        order = SetPolicy(command_id="1", organisation="acme", policy=name, definition=definition, comment="why")
        assert POLICY.decide(order, POLICY.initial)
    assert [one.allowed for one in file.expect] == [True, False]


def test_a_time_without_quotes_is_the_time_that_was_meant() -> None:
    """YAML 1.1 reads 18:30 to the base of 60, and 08:30 as text."""
    text = "version: 1\npolicies: {p: {when: [{start: 08:30, end: 18:30}, {start: 8:05, end: '24:00'}]}}"
    first, second = parse_policies(text).policies["p"].when
    assert (first.start, first.end, second.start, second.end) == ("08:30", "18:30", "08:05", "24:00")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("version: 2", "f:1: `version` must be 1"),
        ("version: 1\nservers: {}", "f:2: unknown key 'servers'"),
        ("version: 1\norganisation: A B", "f:2: `organisation` must be"),
        ("version: 1\npolicies:\n  p:\n    toolz: {}", "f:4: policy 'p': Object contains unknown field `toolz`"),
        ("version: 1\npolicies:\n  p:\n    limits: [{calls: 0, every: day}]", "f:4: policy 'p': Expected `int` >= 1"),
        ("version: 1\nexpect:\n  - {playbook: p, expect: denied}", "f:3: expectation 1: name one `tool`"),
        ("version: 1\nexpect:\n  - {playbook: p, tool: t, expect: no}", "f:3: expectation 1: "),
    ],
)
def test_a_fault_is_told_with_its_line(text: str, fault: str) -> None:
    with pytest.raises(FileRefused) as refused:
        parse_policies(text, "f")
    assert fault in str(refused.value)
