"""Hypothesis strategies for JSON texts: legal, but spelled in every way that JSON allows; no key stands twice."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

SPACES = ("", "", "", "", " ", "\n", "\t", "\r\n", "  \n ")
ODD_NUMBERS = (
    "0", "-0", "-0.0", "1.0", "1e400", "-1E+400", "1e-400", "1E+2", "0.1e1", "100e-2", "1.10", "3.14159265358979323846",
    "9007199254740993", "18446744073709551616", "-9223372036854775809", "9" * 60, "9" * 4400, "0.1000000000000000055",
)  # fmt: skip
ODD_TEXTS = (
    "", "\0", "\u2028\u2029", "\U0001f600", "é", "e\u0301", "\ufeff", "\x7f", "</script>", "a/b", '"', "\\", "\\u0041",
    "data: x", "\n\n", "\r", "__proto__", "ﬃ", "\U0010ffff", "x" * 3000, "null", "=?base64?eA==?=",
)  # fmt: skip
ODD_KEYS = (
    "$ref", "_meta", "x-vendor", "io.modelcontextprotocol/x", "com.example/a.b", "", "k" * 700, "ключ", "\U0001f511",
    "resultType", "content", "toString", "a b", "\0",
)  # fmt: skip


def opaque(strategy: SearchStrategy[str]) -> SearchStrategy[str]:
    """The same strategy without its inner life: hypothesis writes down whole trees of strategies otherwise."""

    @st.composite
    def text(draw: st.DrawFn) -> str:
        return draw(strategy)

    return text()


def _every_escape(text: str) -> str:
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[n]:02X}{units[n + 1]:02x}" for n in range(0, len(units), 2)) + '"'


_SPELLINGS = (
    lambda text: json.dumps(text, ensure_ascii=False),
    json.dumps,
    _every_escape,
    lambda text: json.dumps(text, ensure_ascii=False).replace("/", "\\/"),
)
# A definition that hides text from people is refused, which other tests see to.
HIDING = "\u202d\u202e" + "".join(map(chr, range(0xE0000, 0xE0080)))
any_characters = st.characters(exclude_categories=("Cs",), exclude_characters=HIDING)
plain_texts = st.one_of(st.text(any_characters, max_size=12), st.sampled_from(ODD_TEXTS))
spellings = st.sampled_from(_SPELLINGS)
strings = st.builds(lambda spell, text: spell(text), spellings, plain_texts)
integers = st.integers(-(10**20), 10**20).map(str)
numbers = st.one_of(
    st.sampled_from(ODD_NUMBERS), integers, st.floats(allow_nan=False, allow_infinity=False).map(json.dumps)
)
leaves = st.one_of(strings, numbers, st.sampled_from(("true", "false", "null")))
spaces = st.sampled_from(SPACES)
keys = st.one_of(st.sampled_from(ODD_KEYS), st.text(any_characters, min_size=1, max_size=6))


def spelled_object(pairs: list[tuple[str, str]], space: str, spell: int = 0) -> str:
    """An object of these (key, text of the value); every key is spelled in the same way."""
    joined = f",{space}".join(f"{_SPELLINGS[spell](key)}{space}:{space}{value}" for key, value in pairs)
    return "{" + space + joined + space + "}"


def spelled_array(values: list[str], space: str) -> str:
    """An array of these texts."""
    return "[" + space + f"{space},{space}".join(values) + space + "]"


def _below(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    pairs = st.lists(st.tuples(keys, inner), max_size=4, unique_by=lambda pair: pair[0])
    return st.one_of(
        st.builds(spelled_array, st.lists(inner, max_size=4), spaces),
        st.builds(spelled_object, pairs, spaces, st.integers(0, 3)),
    )


def _nested(depth: int, leaf: str) -> str:
    return '{"d":[' * depth + leaf + "]}" * depth


def _wide(count: int, leaf: str) -> str:
    return "{" + ",".join(f'"key {n}":{leaf}' for n in range(count)) + "}"


values = opaque(
    st.one_of(
        st.recursive(opaque(leaves), lambda inner: opaque(_below(opaque(inner))), max_leaves=8),
        leaves,
        st.builds(_nested, st.integers(1, 60), st.sampled_from(("1.0", '"\\u00e9"', "{}"))),
        st.builds(_wide, st.integers(0, 300), st.sampled_from(("1e0", "null", '""'))),
    )
)
objects = opaque(_below(values).filter(lambda text: text[0] == "{"))


@st.composite
def object_of(
    draw: st.DrawFn,
    required: dict[str, SearchStrategy[str]],
    optional: dict[str, SearchStrategy[str]] | None = None,
    *,
    unknown: bool = True,
    forbidden: frozenset[str] = frozenset(),
) -> str:
    """An object with these members in any order, some of the optional ones, and (`unknown`) members nobody knows."""
    optional = optional or {}
    chosen = [*required.items(), *(pair for pair in optional.items() if draw(st.booleans()))]
    pairs = [(key, draw(value)) for key, value in chosen]
    if unknown and draw(st.booleans()):
        known = {*required, *optional, *forbidden}
        more = st.lists(st.tuples(keys, values), min_size=1, max_size=2, unique_by=lambda pair: pair[0])
        pairs += [pair for pair in draw(more) if pair[0] not in known]
    return spelled_object(draw(st.permutations(pairs)), draw(spaces), draw(st.sampled_from((0, 0, 0, 1, 2, 3))))


metas = opaque(object_of({}, {"com.example/x": values, "progress": values}))
