"""What the verbs of this folder work with."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_authsvc.adapters.attempt_table import AttemptTable
from callboard_authsvc.adapters.link_table import LinkTable
from callboard_authsvc.adapters.oauth_grant_table import OAuthGrantTable
from callboard_authsvc.adapters.passwords import Passwords
from callboard_authsvc.adapters.person_table import PersonTable
from callboard_authsvc.adapters.revocation_push import RevocationPush
from callboard_authsvc.adapters.session_table import SessionTable
from callboard_authsvc.clock import Chance, Clock
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.refusals.note import Refusals
from callboard_authsvc.tokens.verifier import Verifier


@dataclass(frozen=True)
class PeopleDependencies:
    """Made once, in `app.py`. `csrf` is a key of its own."""

    table: PersonTable
    sessions: SessionTable
    attempts: AttemptTable
    links: LinkTable
    grants: OAuthGrantTable
    journal: Journal
    members: MemberDependencies
    passwords: Passwords
    push: RevocationPush
    refusals: Refusals
    verifier: Verifier
    csrf: Verifier
    clock: Clock
    chance: Chance
