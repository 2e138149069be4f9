"""Sealed text: its form, what carries it, and what is shown in its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.contracts import access, access_events, assignments, calls, events, personal, records, vault_events
from callboard.kernel.personal import is_person, join, person_id, person_of, sealed_in, sealed_part, with_names
from callboard_authsvc.erasure.sealing import open_text, seal_text
from callboard_authsvc.vault.sealing import NotOpened

ANN = person_id(bytes(range(10)))
KEY = bytes(range(64))

PERSONAL = {
    "CallRecord.client",
    "CanaryLine.started_by",
    "ClientPinned.client",
    "ClientTokenIssued.client",
    "ClientTokenRevoked.client",
    "ClientTokenRotated.client",
    "ClientUnpinned.client",
    "EventMeta.actor",
    "PersonLine.name",
    "PinLine.client",
    "PinLine.pinned_by",
    "PlaybookLine.changed_by",
    "PlaybookVersionImported.actor",
    "Principal.client",
    "PublishedEvent.actor",
    "TokenIssued.client",
    "TokenLine.client",
    "UpstreamSignInLost.subject",
    "UpstreamSignedIn.subject",
    "UpstreamSignedOut.subject",
    "VersionLine.actor",
}


@given(st.text(max_size=300))
def test_what_is_sealed_for_a_person_opens_for_them_alone(text: str) -> None:
    sealed = seal_text(KEY, "acme", ANN, text)
    assert person_of(sealed) == ANN
    assert open_text(KEY, "acme", ANN, sealed) == text
    assert seal_text(KEY, "acme", ANN, text) == sealed
    other = person_id(bytes(10))
    for key, organisation, person in ((KEY[::-1], "acme", ANN), (KEY, "beta", ANN), (KEY, "acme", other)):
        with pytest.raises(NotOpened):
            open_text(key, organisation, person, sealed)


@given(st.integers(min_value=0, max_value=30), st.sampled_from("AZaz09-_"))
def test_altered_text_does_not_open(at: int, letter: str) -> None:
    sealed = seal_text(KEY, "acme", ANN, "Ann, of the second floor")
    at += len(ANN) + 1
    if sealed[at] != letter:
        with pytest.raises(NotOpened):
            open_text(KEY, "acme", ANN, f"{sealed[:at]}{letter}{sealed[at + 1 :]}")


@pytest.mark.parametrize(
    "text", ["", "ann", "p_", ANN, f"{ANN}~", f"{ANN}~short", "a~" + "A" * 30, f"{ANN}~{'/' * 30}"]
)
def test_other_text_is_nobodys(text: str) -> None:
    assert person_of(text) is None
    assert is_person(text) is (text == ANN)


@given(st.binary(min_size=16, max_size=80))
def test_the_sealed_part_comes_back(sealed: bytes) -> None:
    assert sealed_part(join(ANN, sealed)) == sealed


@given(st.text(max_size=40), st.text(alphabet=st.characters(exclude_characters="~"), max_size=40))
def test_names_are_put_into_json_and_nothing_else_changes(name: str, around: str) -> None:
    sealed = join(ANN, bytes(16))
    document = {"actor": f"{sealed}/key1", "comment": around, "who": [sealed, 1]}
    data = json.dumps(document).encode()
    assert sealed_in(data) == {sealed}
    assert json.loads(with_names(data, {sealed: name})) == {
        "actor": f"{name}/key1", "comment": around, "who": [name, 1],
    }  # fmt: skip


def test_who_cannot_be_named_is_shown_by_the_id() -> None:
    sealed = join(ANN, bytes(16))
    assert with_names(f'{{"actor":"{sealed}/k"}}'.encode(), {}) == f'{{"actor":"{ANN}/k"}}'.encode()


def test_the_personal_fields_are_those_that_the_documentation_names() -> None:
    """A new one is a decision: whoever makes its text must seal it where it names a person."""
    marked = {
        f"{name}.{field}"
        for module in (access, access_events, assignments, calls, events, personal, records, vault_events)
        for name, struct in vars(module).items()
        if getattr(struct, "__module__", "") == module.__name__
        for field, annotation in getattr(struct, "__annotations__", {}).items()
        if annotation == "Personal"
    }
    assert marked == PERSONAL
