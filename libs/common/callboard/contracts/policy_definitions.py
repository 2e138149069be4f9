"""What a policy says: who may use what of which playbooks, with which arguments, when, and how often.

Every policy that concerns a caller has to allow a thing, so a policy can only take away from what a playbook shows.
Globs for tools, prompts and resources are matched against `SERVER/NAME`, the name being the server's own (for what a
playbook stores itself, the server is empty: `/NAME`). Of a resource, every spelling of its URI has to be allowed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from callboard.contracts.personal import Personal

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Per = Literal["key", "person", "organisation", "address", "tool"]
Period = Literal["second", "minute", "hour", "day"]
SECONDS: dict[Period, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
PolicyLayer = Literal["client", "agent"]
MoreThanUse = Literal["mcp:read", "mcp:operate", "mcp:manage"]
"""The scopes beyond ordinary use (`kernel.access_tokens.SCOPES`), each with all before it."""


def is_glob(text: str) -> bool:
    """Whether a client is named by a glob, and so nobody's name."""
    return any(sign in text for sign in "*?[")


class Rights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Globs. What no `allow` has is denied, and so is what a `deny` has, whatever allows it."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class PolicyCallers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom a policy concerns: whoever one of these names. `clients` are globs of names of tokens and of ids of OAuth
    clients, `keys` are ids of tokens and grants, `members` those of persons and service accounts.

    A person's name is sealed in the log: only the whole name concerns a person, and of globs only `*`.
    """

    clients: tuple[Personal, ...] = ()
    keys: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


class ArgumentRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one argument of some tools has to be. `argument`: `repo`, `options.force`, or a JSON pointer.

    `values` are all that it may be; `pattern` has to match the whole of a text (the syntax of RE2: no look-around, no
    back-references). Of a list each element is looked at, also of one on the way (`ops.path` of each of `ops`,
    `/ops/0/path` of the first). An argument that is absent is fine unless it is `required`. `name` is what callers
    are told; without one it is the argument's.
    """

    argument: str
    tools: tuple[str, ...] = ("*",)
    name: str = ""
    required: bool = False
    forbidden: bool = False
    values: tuple[Any, ...] | None = None
    pattern: str | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A time of the week, on the clocks of `zone`. One that ends before it begins ends on the next day."""

    days: tuple[Day, ...] = DAYS
    start: str = "00:00"
    end: str = "24:00"
    zone: str = "UTC"


class LimitRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """At most so many calls in each `every`, counted for each of `per` by itself; windows begin on the full period.

    Calls are of tools, prompts, resources and completions; with `tools` only of those tools.
    """

    calls: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
    every: Period
    per: tuple[Per, ...] = ("key",)
    tools: tuple[str, ...] | None = None


class StepUpRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Tools that are called only with this scope; they are shown without it, so that a client can ask for it."""

    tools: tuple[str, ...]
    scope: MoreThanUse


class PolicyDefinition(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"callers": "for"},
):
    """One policy. Of `tools`, `prompts` and `resources`, once any of them is said, what is not said is denied.

    `callers`: None concerns everybody, also who has no token. `read_only`: of tools, only those that are annotated
    `readOnlyHint: true`; one that says nothing may write. `when`: outside of these times nothing is allowed.
    """

    layer: PolicyLayer = "client"
    description: str = ""
    callers: PolicyCallers | None = None
    playbooks: tuple[str, ...] = ("*",)
    tools: Rights | None = None
    prompts: Rights | None = None
    resources: Rights | None = None
    read_only: bool = False
    arguments: tuple[ArgumentRule, ...] = ()
    when: tuple[Window, ...] = ()
    limits: tuple[LimitRule, ...] = ()
    step_up: tuple[StepUpRule, ...] = ()
