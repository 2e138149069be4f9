"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_authsvc.adapters.link_table import LinkTable
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.clock import Chance, Clock
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.rights import Rights
from callboard_authsvc.members.tell import MemberNews
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.tokens.verifier import Verifier


@dataclass(frozen=True)
class MemberDependencies:
    """Made once, in `app.py`."""

    journal: Journal
    organisations: KnownOrganisations
    table: MemberTable
    links: LinkTable
    rights: Rights
    news: MemberNews
    verifier: Verifier
    clock: Clock
    chance: Chance
