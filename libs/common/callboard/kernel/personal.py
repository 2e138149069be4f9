"""Sealed personal text: what stands in events, records and rows in the place of a person's name. Pure.

`<person>~<sealed>`: the opaque id of the person, and the text under that person's key, in base64url. It is plain text
to everything that carries, stores, compares and hashes it, so a hash chain over it holds when the key is destroyed.
Sealing is deterministic: the same text of the same person is always the same, so it can be looked up by.

Above: authsvc seals and opens (it has the keys); the edge opens what its callers may read. Below: nothing.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping

ERASED = "[erased]"
"""What is read of a person whose key was destroyed."""
PERSON_BYTES = 10

_PERSON = r"p_[a-z2-7]{16}"
_SEALED = rf"({_PERSON})~[A-Za-z0-9_-]{{22,}}"
_is_person = re.compile(_PERSON).fullmatch
_is_sealed = re.compile(_SEALED).fullmatch
_in_bytes = re.compile(_SEALED.encode())


def person_id(random: bytes) -> str:
    """The opaque id of a person, made of 10 random bytes; it says nothing of them."""
    if len(random) != PERSON_BYTES:
        raise ValueError("a person's id is made of 10 bytes")
    return f"p_{base64.b32encode(random).decode().lower()}"


def is_person(text: str) -> bool:
    """Whether this is the id of a person."""
    return _is_person(text) is not None


def person_of(text: str) -> str | None:
    """Whose sealed text this is; None for any other text."""
    found = _is_sealed(text)
    return found[1] if found is not None else None


def join(person: str, sealed: bytes) -> str:
    """The text for a sealed value of at least 16 bytes."""
    return f"{person}~{base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"


def sealed_part(text: str) -> bytes:
    """The sealed value of a text that `person_of` knows; raises `ValueError` when it is none."""
    encoded = text.partition("~")[2]
    return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)


def sealed_in(data: bytes) -> set[str]:
    """Every sealed text in some JSON."""
    return {found[0].decode() for found in _in_bytes.finditer(data)}


def with_names(data: bytes, names: Mapping[str, str]) -> bytes:
    """The JSON with what is sealed in it replaced by names (sealed text -> name); what has none becomes its id.

    Sealed text stands inside strings of the JSON, so a name is escaped as a part of one.
    """

    def name(found: re.Match[bytes]) -> bytes:
        plain = names.get(found[0].decode())
        return found[1] if plain is None else json.dumps(plain, ensure_ascii=False)[1:-1].encode()

    return _in_bytes.sub(name, data)
