"""What each aggregate of the authsvc decides, without any IO."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from callboard.contracts.access_events import (
    ClientTokenIssued,
    ClientTokenRevoked,
    ConsumerAdmitted,
    ConsumerDismissed,
)
from callboard.contracts.events import OrganisationCreated
from callboard.contracts.problems import Problem
from callboard.contracts.vault_events import SecretDestroyed, SecretStored
from callboard_authsvc.consumers import domain as consumers
from callboard_authsvc.organisations import domain as organisations
from callboard_authsvc.tokens import domain as tokens
from callboard_authsvc.vault import domain as vault
from tests.authsvc.given import Given

CREATED = OrganisationCreated(organisation="acme", title="Acme")
ISSUED = ClientTokenIssued(client="agent", key_id="aaaaaaaa", scopes=("use",))
REVOKED = ClientTokenRevoked(client="agent", key_id="aaaaaaaa")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_an_organisation_is_created_once() -> None:
    create = organisations.Create(organisation="acme", title="Acme")

    Given(organisations.ORGANISATION).when(create).then(CREATED)
    Given(organisations.ORGANISATION, CREATED).when(create).then_nothing()


@pytest.mark.parametrize("name", ["", "Acme", "a.b", "a b", "*", ">", "-a", "a" * 64, "ä", "a\n"])
def test_an_organisation_needs_a_name_that_fits_into_a_subject(name: str) -> None:
    Given(organisations.ORGANISATION).when(organisations.Create(organisation=name)).then_refused("argument.invalid")


@pytest.mark.parametrize("title", ["x" * 201, "two\nlines", "\x00"])
def test_an_organisation_needs_a_printable_title(title: str) -> None:
    order = organisations.Create(organisation="acme", title=title)
    Given(organisations.ORGANISATION).when(order).then_refused("argument.invalid")


def test_a_client_gets_any_number_of_tokens() -> None:
    order = tokens.Issue(client="agent", key_id="bbbbbbbb", scopes=("use", "read"), playbooks=("start*",))

    Given(tokens.CLIENT, ISSUED).when(order).then(
        ClientTokenIssued(client="agent", key_id="bbbbbbbb", scopes=("use", "read"), playbooks=("start*",))
    )


@pytest.mark.parametrize("scopes", [(), ("administer",), ("use", "administer"), ("use", "use"), ("USE",)])
def test_a_token_is_not_issued_for_other_scopes_than_use_read_and_manage(scopes: tuple[str, ...]) -> None:
    order = tokens.Issue(client="agent", key_id="bbbbbbbb", scopes=scopes)
    Given(tokens.CLIENT).when(order).then_refused("argument.invalid")


@pytest.mark.parametrize(
    ("client", "playbooks", "seconds"),
    [
        ("Agent 1", (), None),
        ("agent", ("../x",), None),
        ("agent", ("",), None),
        ("agent", ("a",) * 65, None),
        ("agent", (), 0),
        ("agent", (), -1),
        ("agent", (), 10**12),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(client: str, playbooks: tuple[str, ...], seconds: int | None) -> None:
    with pytest.raises(Problem) as refusal:
        tokens.check(client, ("use",), playbooks, seconds)

    assert refusal.value.code == "argument.invalid"


def test_a_token_is_revoked_once() -> None:
    revoke = tokens.Revoke(client="agent", key_id="aaaaaaaa")

    Given(tokens.CLIENT, ISSUED).when(revoke).then(REVOKED)
    Given(tokens.CLIENT, ISSUED, REVOKED).when(revoke).then_nothing()


def test_a_token_that_was_never_issued_cannot_be_revoked() -> None:
    Given(tokens.CLIENT, ISSUED).when(tokens.Revoke(client="agent", key_id="cccccccc")).then_refused("token.unknown")


def test_a_token_is_live_until_the_instant_of_its_expiry_or_revocation() -> None:
    assert tokens.is_live(None, None, NOON)
    assert tokens.is_live(None, NOON.replace(second=1), NOON)
    assert not tokens.is_live(None, NOON, NOON)
    assert not tokens.is_live(NOON, None, NOON)


def test_versions_of_a_secret_go_on_counting_after_its_destruction() -> None:
    first, second = SecretStored(secret="key", version=1), SecretStored(secret="key", version=2)
    store, destroy = vault.Store(secret="key"), vault.Destroy(secret="key")

    Given(vault.SECRET).when(store).then(first)
    Given(vault.SECRET, first).when(store).then(second)
    Given(vault.SECRET, first).when(destroy).then(SecretDestroyed(secret="key"))
    Given(vault.SECRET, first, SecretDestroyed(secret="key")).when(store).then(second)


def test_only_a_secret_that_is_held_can_be_destroyed() -> None:
    stored, destroyed = SecretStored(secret="key", version=1), SecretDestroyed(secret="key")
    destroy = vault.Destroy(secret="key")

    Given(vault.SECRET).when(destroy).then_refused("secret.unknown")
    Given(vault.SECRET, stored, destroyed).when(destroy).then_refused("secret.unknown")


@pytest.mark.parametrize(
    ("secret", "value"), [("", "v"), ("a b", "v"), ("a/b", "v"), ("x" * 101, "v"), ("key", ""), ("key", "ä" * 32769)]
)
def test_a_secret_that_cannot_be_kept_is_refused_without_its_value(secret: str, value: str) -> None:
    with pytest.raises(Problem) as refusal:
        vault.check(secret, value)

    assert refusal.value.code == "argument.invalid"
    assert len(refusal.value.message) < 120


def test_a_consumer_is_admitted_dismissed_and_admitted_again() -> None:
    first = ConsumerAdmitted(consumer="stats", public_key="UA")
    gone = ConsumerDismissed(consumer="stats", public_key="UA")
    again = consumers.Admit(consumer="stats", public_key="UB")

    Given(consumers.CONSUMER).when(consumers.Admit(consumer="stats", public_key="UA")).then(first)
    Given(consumers.CONSUMER, first).when(again).then_refused("consumer.exists")
    Given(consumers.CONSUMER, first).when(consumers.Dismiss(consumer="stats")).then(gone)
    Given(consumers.CONSUMER, first, gone).when(again).then(ConsumerAdmitted(consumer="stats", public_key="UB"))
    Given(consumers.CONSUMER, first, gone).when(consumers.Dismiss(consumer="stats")).then_refused("consumer.unknown")


def test_no_two_consumers_share_a_durable() -> None:
    pairs = [("a", "b-c"), ("a-b", "c"), ("a-for-b", "c"), ("a", "for-b-c"), ("projections", "call_log")]

    names = {durable.name for pair in pairs for durable in consumers.durables_of(*pair)}

    assert len(names) == len(pairs)
    assert "projections-call_log" not in names
