"""Whose account is lent to whose calls: who may follow the link with which a caller connects a server."""

from __future__ import annotations

import pytest

from callboard.contracts.access import EVERY_ORGANISATION, Principal
from callboard_authsvc.upstream_oauth.domain import Whose
from callboard_authsvc.upstream_oauth.standing import may_follow

ALICE = "person-alice"


def person(name: str, role: str, organisation: str = "acme") -> Principal:
    grants = {organisation: (role,)}
    return Principal(key_id="", client=name, organisation="", scopes=("own",), member=name, grants=grants)


INSTALLATION = Principal(
    key_id="", client="person-root", organisation=EVERY_ORGANISATION, scopes=("administer",), member="person-root"
)


@pytest.mark.parametrize(
    ("subject", "who", "may"),
    [
        ("", person("person-m", "manager"), True),
        ("", person("person-o", "operator"), False),
        ("", person("person-m", "manager", "other"), False),
        ("", INSTALLATION, True),
        (ALICE, person(ALICE, "user"), True),
        (ALICE, person(ALICE, "user", "other"), False),
        (ALICE, person("person-bob", "owner"), False),
        (ALICE, INSTALLATION, False),
        ("cursor", person("person-bob", "operator"), False),
        ("cursor", person("person-bob", "manager"), True),
        ("cursor", person("person-bob", "manager", "other"), False),
        ("cursor", INSTALLATION, True),
    ],
)
def test_a_link_is_followed_by_whom_it_is_for(subject: str, who: Principal, may: bool) -> None:
    assert may_follow(Whose("acme", "wiki", subject), who) is may
