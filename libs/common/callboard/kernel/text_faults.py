"""What a person cannot see in a text: invisible characters, control sequences, letters that look like others.

Sources: Unicode Standard Annex 44 (general categories), Unicode Technical Standard 39 (confusables; here only the
mixture of scripts within one word, which is what a look-alike name needs).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

_HARMLESS_CONTROLS: Final = frozenset("\t\n\r")
_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_TAGS: Final = range(0xE0000, 0xE0080)
_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "FULLWIDTH", "MATHEMATICAL")
_SHOWN = 5
_FLAG: Final = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")
"""The flag of a region (Unicode Technical Standard 51, ED-14a): the only use that tag characters have."""
_OVERRIDES: Final = "\u202d\u202e"


def text_faults(value: Any) -> list[str]:
    """What is suspicious about the texts in plain data, each once, like `invisible character U+200B`."""
    found: dict[str, None] = {}
    for text in _texts(value):
        for fault in _faults(text):
            found[fault] = None
    return list(found)


def hidden_message(value: Any) -> str | None:
    """What in the texts of plain data a model reads and a person cannot see; None: there is nothing of the kind.

    Text in tag characters is seen by nobody, and a text whose direction is overridden is seen as another one. All else
    that is invisible (joiners, marks of direction, controls) has honest uses, and is only pointed out.
    """
    for text in _texts(value):
        if text.isascii():
            continue
        if any(ord(one) in _TAGS for one in _FLAG.sub("", text)):
            return "text in tag characters"
        if any(one in text for one in _OVERRIDES):
            return "text whose writing direction is overridden"
    return None


def visible(text: str) -> str:
    """The text as a terminal may show it: what acts on a terminal or on the eye stands there as `\\u{…}`.

    Line ends and tabs stay, since commands write lines and tables.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{{{ord(one):x}}}" if one == "\r" or _fault_of(one) else one for one in text)


def _texts(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)


def _faults(text: str) -> Iterator[str]:
    if text.isascii() and text.isprintable():
        return
    for character in dict.fromkeys(text):
        fault = _fault_of(character)
        if fault is not None:
            yield f"{fault} U+{ord(character):04X}"
    for word in text.split():
        scripts = _scripts(word)
        if len(scripts) > 1:
            yield f"letters of {' and '.join(scripts)} in one word: {word[:40]!r}"


def _fault_of(character: str) -> str | None:
    if ord(character) in _TAGS:
        return "tag character"
    if character in _BIDI:
        return "control of writing direction"
    category = unicodedata.category(character)
    if category == "Cc" and character not in _HARMLESS_CONTROLS:
        return "control character"
    if category in ("Cf", "Zl", "Zp", "Co", "Cn"):
        return "invisible character"
    if category == "Cs":
        return "lone surrogate"
    return None


def _scripts(word: str) -> list[str]:
    """The scripts that the letters of a word belong to, of those that have look-alikes among each other."""
    found: dict[str, None] = {}
    for character in word:
        if character.isalpha():
            name = unicodedata.name(character, "")
            script = next((script for script in _SCRIPTS if name.startswith(script)), None)
            if script is not None:
                found[script.title()] = None
    return list(found)[:_SHOWN]
