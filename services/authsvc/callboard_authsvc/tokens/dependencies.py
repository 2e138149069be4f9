"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_authsvc.adapters.last_use import LastUse
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.adapters.revocation_push import RevocationPush
from callboard_authsvc.adapters.token_table import TokenTable
from callboard_authsvc.clock import Chance, Clock
from callboard_authsvc.erasure.keys import PersonKeys
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.rights import Rights
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.tokens.verifier import Verifier


@dataclass(frozen=True)
class TokenDependencies:
    """Made once, in `app.py`."""

    journal: Journal
    organisations: KnownOrganisations
    table: TokenTable
    persons: PersonKeys
    members: MemberTable
    rights: Rights
    last_use: LastUse
    push: RevocationPush
    verifier: Verifier
    clock: Clock
    chance: Chance
