"""Personal data: which fields are personal, who a person is here, how one is erased.

A field of type `Personal` holds sealed text (`callboard.kernel.personal`) where it names a person, and plain text
where it names a program, and in everything that was written before there was sealing. The key of a person is in
authsvc's vault, one per organisation; erasing a person destroys it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

Personal = Annotated[
    str,
    msgspec.Meta(
        description="Sealed where it names a person (`p_…~…`, opened by the management API), else as it is.",
        extra={"personal": True},
    ),
]
"""The type of every field that may name a person."""


class ErasePerson(msgspec.Struct, frozen=True, kw_only=True, tag="person.erase", tag_field="type"):
    """Destroy the key of a person in an organisation, and refuse their tokens. `person`: the id, or the name.

    Of a member (by id or e-mail address) it ends the membership and deletes the account, if no other organisation has
    the person. Erasing again changes nothing (seq 0). `by`: the key of whoever asks.
    """

    command_id: str
    organisation: str
    person: str
    comment: str
    actor: str = ""
    by: str = ""


class AskPersons(msgspec.Struct, frozen=True, kw_only=True, tag="persons?", tag_field="type"):
    """The persons of an organisation; with `person` (an id or a name) only that one, or none."""

    organisation: str
    person: str = ""


class PersonLine(msgspec.Struct, frozen=True, kw_only=True):
    """One person as listed; `name` is sealed, and empty once erased."""

    person: str
    name: Personal
    known_since: datetime
    erased_at: datetime | None = None


class Persons(msgspec.Struct, frozen=True, kw_only=True, tag="persons", tag_field="type"):
    """Answer to `AskPersons`, in the order of their ids' making."""

    persons: tuple[PersonLine, ...]


class OpenPersonal(msgspec.Struct, frozen=True, kw_only=True, tag="personal.open", tag_field="type"):
    """edge > authsvc: the plain text of sealed texts of one organisation, for a caller who may read it."""

    organisation: str
    sealed: tuple[str, ...]


class OpenedPersonal(msgspec.Struct, frozen=True, kw_only=True, tag="personal.opened", tag_field="type"):
    """Answer to `OpenPersonal`: sealed text -> plain text, `[erased]` where the key was destroyed.

    What was sealed elsewhere (in another organisation) is left out.
    """

    opened: dict[str, str]

    def __repr__(self) -> str:
        return f"OpenedPersonal({sorted(self.opened)})"
