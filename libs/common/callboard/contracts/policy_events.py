"""The policies of an organisation as facts of its log."""

from __future__ import annotations

import msgspec

from callboard.contracts.policy_definitions import PolicyDefinition


class PolicySet(msgspec.Struct, frozen=True, kw_only=True, tag="policy.set", tag_field="type"):
    """The policy is this from here on; what it said before is in the events before."""

    policy: str
    definition: PolicyDefinition


class PolicyRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="policy.removed", tag_field="type"):
    """The policy holds for nobody any more; its name may be used again."""

    policy: str


class ServerSwitched(msgspec.Struct, frozen=True, kw_only=True, tag="server.switched", tag_field="type"):
    """Everything of the server is there for nobody in the organisation (`on` false), or again as the playbooks say."""

    server: str
    on: bool


PolicyEvent = PolicySet | PolicyRemoved | ServerSwitched
