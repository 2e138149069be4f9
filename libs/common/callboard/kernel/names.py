"""Names: slugs for what people name, wire names for what agents see, globs for filters (features.md F14)."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
PERSON_PREFIX = "person-"
"""Begins the id of every person, and the name of no other member."""
MAX_WIRE_NAME = 64
"""Longest name that every known client accepts; longer ones get an alias."""


def is_slug(name: str) -> bool:
    """Whether a name can be a token of a subject: lower-case letters, digits, `_`, `-`; at most 63."""
    return SLUG.fullmatch(name) is not None


_RESTRICTED = re.compile(r"[A-Za-z0-9_-]{1,128}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


def is_restricted(token: str) -> bool:
    """Whether a text can be one token of a subject (the "restricted term" of NATS ADR-6)."""
    return _RESTRICTED.fullmatch(token) is not None


_STRATEGIES = {
    "double_underscore": "{}__",
    "prefixed": "{}__",
    "dot": "{}.",
    "slash": "{}/",
    "none": "",
    "bare": "",
}


def prefix_of(server: str, names: str) -> str:
    """The prefix that the `names` setting of a playbook's server puts before each name.

    A strategy (`double_underscore`, which is also called `prefixed`; `dot`; `slash`; `none`, also called `bare`), or
    a prefix of one's own, which is parted from the name by `__` unless it ends in a separator itself.
    """
    strategy = _STRATEGIES.get(names)
    if strategy is not None:
        return strategy.format(server)
    return names if names[-1:] in "_.-/" else f"{names}__"


def prefix_among(playbook: str) -> str:
    """The prefix of a playbook's names where several playbooks are served as one: `PLAYBOOK__`.

    No two playbooks can ever share a name, whatever is published later: what stands before the first `__` is the
    playbook. One whose own name has underscores in a row gets `U`, which no playbook's name has, for the later ones.
    """
    return re.sub("(?<=_)_", "U", playbook) + "__"


def wire_name(prefix: str, name: str) -> str:
    """The name agents see. Over 64 characters: the first 55, `_`, and 8 hex digits of the whole's SHA-256."""
    full = prefix + name
    if len(full) <= MAX_WIRE_NAME:
        return full
    return f"{full[:55]}_{hashlib.sha256(full.encode()).hexdigest()[:8]}"


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def matches(pattern: str, name: str) -> bool:
    """Shell-style glob (`*`, `?`, `[abc]`), case-sensitive, over the whole name."""
    return _compiled(pattern).match(name) is not None


def first_match(patterns: Sequence[str], name: str) -> str | None:
    """The first of these globs that has the name."""
    return next((pattern for pattern in patterns if matches(pattern, name)), None)


def version_number(text: str) -> int | None:
    """The number of a version, 1 to 999,999,999, in ASCII digits and one spelling only; None for anything else."""
    return int(text) if _VERSION.fullmatch(text) else None


def split_reference(text: str, default_organisation: str = "") -> tuple[str, str, int]:
    """`[ORG/]NAME[@N]` as (organisation, name, version); version 0 means the current one.

    Raises ValueError with a sentence for people.
    """
    body, at, version = text.partition("@")
    organisation, slash, name = body.rpartition("/")
    if not slash:
        organisation = default_organisation
    number = version_number(version) if at else 0
    if number is None:
        raise ValueError(f"{text!r}: after @ stands a version number, for example {body}@2")
    if not organisation:
        raise ValueError(f"{text!r}: name the organisation, for example acme/{name}")
    return organisation, name, number
