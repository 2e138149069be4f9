"""The policy file (YAML, version 1): policies, and what a test expects of them; parsed whole or refused whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from callboard.contracts.policies import Attempt, Expectation, ThingKind
from callboard.contracts.policy_definitions import PolicyDefinition
from callboard.kernel.names import is_slug
from callboard.kernel.playbook_file import FileRefused, LineFault, Reader, plain_data, section_of

_KINDS: tuple[ThingKind, ...] = ("tool", "prompt", "resource")
_KEYS = {"version", "organisation", "policies", "expect"}


class PolicyFile(NamedTuple):
    """The content of a file; `organisation` is empty where it names none."""

    organisation: str
    policies: dict[str, PolicyDefinition]
    expect: tuple[Expectation, ...]


class _Expected(msgspec.Struct, forbid_unknown_fields=True):
    playbook: str
    expect: Literal["allowed", "denied"]
    tool: str = ""
    prompt: str = ""
    resource: str = ""
    client: str = ""
    key: str = ""
    member: str = ""
    arguments: dict[str, Any] | None = None
    at: datetime | None = None


def parse_policies(text: str, name: str = "policies.yaml") -> PolicyFile:
    """Parse a file; raises `FileRefused` with every fault found and its line."""
    reader = Reader()
    data = plain_data(reader, text, name)
    faults = reader.faults
    if data.get("version") != 1:
        faults.append(LineFault(reader.lines.get(("version",), 1), "`version` must be 1"))
    faults.extend(LineFault(reader.lines[(key,)], f"unknown key {key!r}") for key in data.keys() - _KEYS)
    organisation = data.get("organisation", "")
    if organisation and (not isinstance(organisation, str) or not is_slug(organisation)):
        line = reader.lines[("organisation",)]
        faults.append(LineFault(line, "`organisation` must be a name of a-z, 0-9, - and _"))
    _write_clocks(data.get("policies"))
    policies = section_of(data, "policies", PolicyDefinition, reader, faults)
    expected = data.get("expect") or []
    expect = [_expectation(one, index, reader, faults) for index, one in enumerate(expected)]
    if faults:
        raise FileRefused(name, faults)
    return PolicyFile(organisation, policies, tuple(one for one in expect if one is not None))


def _write_clocks(policies: Any) -> None:
    """YAML 1.1 reads 18:00 as a number to the base of 60: that is the minutes since midnight."""
    for policy in policies.values() if isinstance(policies, Mapping) else ():
        windows = policy.get("when") if isinstance(policy, Mapping) else None
        for window in windows if isinstance(windows, list) else ():
            if not isinstance(window, dict):
                continue
            for key in ("start", "end"):
                value = window.get(key)
                if isinstance(value, int) and not isinstance(value, bool):
                    window[key] = f"{value // 60:02}:{value % 60:02}"


def _expectation(one: Any, index: int, reader: Reader, faults: list[LineFault]) -> Expectation | None:
    line = reader.lines.get(("expect", str(index)), reader.lines.get(("expect",), 1))
    try:
        said = msgspec.convert(one, _Expected)
    except msgspec.ValidationError as error:
        faults.append(LineFault(line, f"expectation {index + 1}: {error}"))
        return None
    named = [kind for kind in _KINDS if getattr(said, kind)]
    if len(named) != 1:
        faults.append(LineFault(line, f"expectation {index + 1}: name one `tool`, `prompt` or `resource`"))
        return None
    attempt = Attempt(
        playbook=said.playbook,
        name=getattr(said, named[0]),
        kind=named[0],
        client=said.client,
        key=said.key,
        member=said.member,
        arguments=said.arguments,
        at=said.at,
    )
    return Expectation(attempt=attempt, allowed=said.expect == "allowed")
