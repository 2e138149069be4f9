"""Commands and questions about policies. Subjects: `callboard.contracts.policy_subjects`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from callboard.contracts.personal import Personal
from callboard.contracts.policy_definitions import PolicyDefinition

ThingKind = Literal["tool", "prompt", "resource"]
DecidingLayer = Literal["organisation", "playbook", "client", "agent", "arguments"]


class SetPolicy(msgspec.Struct, frozen=True, kw_only=True, tag="policy.set_it", tag_field="type"):
    """Make a policy say this from now on. `dry_run` only says whether it would be accepted and change anything."""

    command_id: str
    organisation: str
    policy: str
    definition: PolicyDefinition
    comment: str = ""
    actor: str = ""
    dry_run: bool = False


class RemovePolicy(msgspec.Struct, frozen=True, kw_only=True, tag="policy.remove", tag_field="type"):
    """Let a policy hold no more."""

    command_id: str
    organisation: str
    policy: str
    comment: str = ""
    actor: str = ""


class SwitchServer(msgspec.Struct, frozen=True, kw_only=True, tag="policy.switch_server", tag_field="type"):
    """Take everything of a server away from the whole organisation, or give it back."""

    command_id: str
    organisation: str
    server: str
    on: bool
    comment: str = ""
    actor: str = ""


class PolicyDone(msgspec.Struct, frozen=True, kw_only=True, tag="policy.done", tag_field="type"):
    """Answer to the commands: the position in the log, 0 where nothing changed."""

    seq: int
    changed: bool


class AskPolicies(msgspec.Struct, frozen=True, kw_only=True, tag="policies?", tag_field="type"):
    """All policies of an organisation, and the servers that are switched off."""

    organisation: str


class PolicyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One policy and its name."""

    policy: str
    definition: PolicyDefinition


class Policies(msgspec.Struct, frozen=True, kw_only=True, tag="policies", tag_field="type"):
    """Answer to `AskPolicies`, by name."""

    policies: tuple[PolicyLine, ...]
    switched_off: tuple[str, ...]


class AskPolicy(msgspec.Struct, frozen=True, kw_only=True, tag="policy?", tag_field="type"):
    """One policy and its history."""

    organisation: str
    policy: str


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed a policy, when and why; without a definition it was removed."""

    actor: str
    comment: str
    at: datetime
    definition: PolicyDefinition | None = None


class ShownPolicy(msgspec.Struct, frozen=True, kw_only=True, tag="policy", tag_field="type"):
    """Answer to `AskPolicy`; `definition` None: it was removed. The newest change comes first."""

    policy: str
    definition: PolicyDefinition | None
    changes: tuple[PolicyChange, ...]


class Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody wants something of a playbook. `name` is the one that agents see there (or the URI of a resource).

    `at`: at this time (None: now). `arguments`, as they are sent; None: nothing is known of them, and no rule about
    them is asked. `oauth_client` is the id of the client that comes with a token of the authorization server.
    """

    playbook: str
    name: str
    kind: ThingKind = "tool"
    client: Personal = ""
    key: str = ""
    member: str = ""
    arguments: dict[str, Any] | None = None
    at: datetime | None = None
    oauth_client: str = ""


class AskPolicyExplanation(msgspec.Struct, frozen=True, kw_only=True, tag="policy.explanation?", tag_field="type"):
    """What becomes of this attempt, and which rule decides?"""

    organisation: str
    attempt: Attempt


class PolicyVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer says. `policy` is empty for what is no policy; `rule` is what decided, as `tools.deny: git/*`."""

    layer: DecidingLayer
    allowed: bool
    policy: str = ""
    rule: str = ""


class PolicyExplanation(msgspec.Struct, frozen=True, kw_only=True, tag="policy.explanation", tag_field="type"):
    """Answer: allowed where every layer allows it. `verdicts` are in the order of the layers, `limits` as text."""

    allowed: bool
    server: str
    upstream_name: str
    verdicts: tuple[PolicyVerdict, ...]
    limits: tuple[str, ...] = ()

    @property
    def decided_by(self) -> PolicyVerdict | None:
        """The first layer that denies."""
        return next((verdict for verdict in self.verdicts if not verdict.allowed), None)


class AskPolicyTest(msgspec.Struct, frozen=True, kw_only=True, tag="policy.test?", tag_field="type"):
    """What would become of these attempts if these were the policies (`only` false: besides those there are)?"""

    organisation: str
    policies: dict[str, PolicyDefinition]
    attempts: tuple[Attempt, ...]
    only: bool = False


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, under the policies of now and under those of the test; the rules that deny it, empty for none."""

    now: bool
    then: bool
    rule_now: str = ""
    rule_then: str = ""


class PolicyTested(msgspec.Struct, frozen=True, kw_only=True, tag="policy.tested", tag_field="type"):
    """Answer: one for each attempt, in their order."""

    tried: tuple[Tried, ...]


class NewPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT /organisations/{organisation}/policies/{policy}`."""

    definition: PolicyDefinition
    comment: str = ""
    dry_run: bool = False
    command_id: str | None = None


class Switch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT /organisations/{organisation}/servers/{server}/switch`."""

    on: bool
    comment: str = ""
    command_id: str | None = None


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What has to become of an attempt under the policies of a test."""

    attempt: Attempt
    allowed: bool


class PolicyRehearsal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /organisations/{organisation}/policies/test`. `days`: also the recorded calls of so many days.

    `only`: these policies alone, in place of those there are.
    """

    policies: dict[str, PolicyDefinition]
    expect: tuple[Expectation, ...] = ()
    days: float = 0.0
    only: bool = False


class Surprise(msgspec.Struct, frozen=True, kw_only=True):
    """An expectation that is not met; `rule` is what denies, if anything does."""

    attempt: Attempt
    allowed: bool
    rule: str = ""


class DeniedCall(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded calls that would be denied: how many of one caller and tool, the newest one, and the rule."""

    playbook: str
    tool: str
    client: Personal
    rule: str
    calls: int
    newest: str


class PolicyRehearsed(msgspec.Struct, frozen=True, kw_only=True, tag="policy.rehearsed", tag_field="type"):
    """Answer to `PolicyRehearsal`. `complete` false: there were more recorded calls than are looked at.

    `not_judged`: what of these policies no recorded call was held against.
    """

    as_expected: bool
    surprises: tuple[Surprise, ...]
    denied: tuple[DeniedCall, ...]
    calls: int
    complete: bool
    not_judged: tuple[str, ...] = ()
