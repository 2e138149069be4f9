"""Plans of organisations: how much they may have and use, and how much that is at the moment."""

from __future__ import annotations

import msgspec


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each; None means as much as one likes. Days are those of UTC."""

    playbooks: int | None = None
    servers: int | None = None
    calls_per_day: int | None = None


class ChoosePlan(msgspec.Struct, frozen=True, kw_only=True, tag="organisation.choose_plan", tag_field="type"):
    """Give an organisation a plan of `kernel.plans`, with other figures where `quotas` has any."""

    command_id: str
    organisation: str
    plan: str
    quotas: Quotas = Quotas()
    comment: str = ""
    actor: str = ""


class AskUsage(msgspec.Struct, frozen=True, kw_only=True, tag="usage?", tag_field="type"):
    """What does an organisation have, and how much may it?"""

    organisation: str


class Usage(msgspec.Struct, frozen=True, kw_only=True, tag="usage", tag_field="type"):
    """Answer to `AskUsage`. `plan` is empty where none was chosen; `calls_today` None where calls are not limited."""

    organisation: str
    plan: str
    quotas: Quotas
    playbooks: int
    servers: int
    calls_today: int | None = None


class PlanOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT /organisations/{organisation}/plan`."""

    plan: str
    quotas: Quotas = Quotas()
    comment: str = ""
    command_id: str | None = None
