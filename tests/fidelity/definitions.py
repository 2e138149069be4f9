"""Hypothesis strategies for what an upstream lists: tools with any JSON Schema 2020-12 keywords, prompts, resources."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.fidelity.json_texts import (
    metas,
    numbers,
    object_of,
    opaque,
    spaces,
    spelled_array,
    spelled_object,
    strings,
    values,
)
from tests.fidelity.strategies import arrays, booleans, one

_counts = st.sampled_from(("0", "1", "7", "1.0", "2e1"))
_limits = st.sampled_from(("0", "-0.0", "1.50", "1e3", "-7", "9007199254740993", "1" + "0" * 40, "1e400"))
_types = st.sampled_from(('"object"', '"string"', '"number"', '"integer"', '"array"', '"boolean"', '"null"'))
_patterns = st.sampled_from((r'"^[a-z]+$"', r'"\\d{1,3}"', r'"(?i)x|y"', r'"^(?=.*a).*$"', r'"é*"', r'""'))
_formats = st.sampled_from(("date-time", "email", "uri", "uuid", "ipv4", "made-up", "regex")).map(json.dumps)
_property_names = st.sampled_from(("a", "b c", "é", "$x", "path/to", "~0", "%41", "", "default", "enum", "type"))
_plain = st.sampled_from(('{"type":"string"}', "true", "false", "{}", '{"$ref":"#"}', '{"$ref" : "#/$defs/one"}'))


def _named(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    pairs = st.dictionaries(_property_names, inner, max_size=3)
    return st.builds(lambda found, space: spelled_object(list(found.items()), space), pairs, spaces)


def _keywords(inner: SearchStrategy[str]) -> dict[str, SearchStrategy[str]]:
    some = st.builds(spelled_array, st.lists(inner, min_size=1, max_size=3), spaces)
    names = st.lists(_property_names, max_size=3, unique=True).map(json.dumps)
    types = st.lists(_types, min_size=1, max_size=3, unique=True)
    return {
        "type": st.one_of(_types, types.map(lambda found: "[" + ",".join(found) + "]")),
        "enum": arrays(values).filter(lambda text: len(text) < 400),
        "const": values,
        "multipleOf": st.sampled_from(("1", "0.5", "1e1")),
        "maximum": _limits, "exclusiveMaximum": _limits, "minimum": _limits, "exclusiveMinimum": _limits,
        "maxLength": _counts, "minLength": _counts, "pattern": _patterns, "format": _formats,
        "maxItems": _counts, "minItems": _counts, "uniqueItems": booleans, "maxContains": _counts,
        "minContains": _counts, "maxProperties": _counts, "minProperties": _counts,
        "required": names,
        "dependentRequired": names.map(lambda found: '{"a":' + found + "}"),
        "properties": _named(inner), "dependentSchemas": _named(inner),
        "patternProperties": inner.map(lambda found: '{"^x-":' + found + "}"),
        "additionalProperties": inner, "propertyNames": inner, "unevaluatedProperties": inner,
        "prefixItems": some, "items": inner, "contains": inner, "unevaluatedItems": inner,
        "allOf": some, "anyOf": some, "oneOf": some, "not": inner, "if": inner, "then": inner, "else": inner,
        "contentEncoding": strings, "contentMediaType": strings, "contentSchema": inner,
        "title": strings, "description": strings, "default": values, "examples": arrays(values),
        "deprecated": booleans, "readOnly": booleans, "writeOnly": booleans, "$comment": strings,
        "x-vendor": values,
    }  # fmt: skip


@st.composite
def _schemas_over(draw: st.DrawFn, inner: SearchStrategy[str]) -> str:
    keywords = _keywords(inner)
    chosen = draw(st.lists(st.sampled_from(sorted(keywords)), max_size=5, unique=True))
    return spelled_object([(key, draw(keywords[key])) for key in chosen], draw(spaces))


_schemas = opaque(st.recursive(_plain, lambda inner: opaque(_schemas_over(opaque(inner))), max_leaves=6))


_ID = "https://example.com/a.json"
# (members of the schema, a schema in its `$defs` that refers to them): every reference leads somewhere.
_REFERENCES: tuple[tuple[list[tuple[str, str]], str], ...] = (
    ([], "{}"),
    ([("$vocabulary", "{}")], "true"),
    ([("$anchor", '"here"')], '{"$ref":"#here"}'),
    ([("$dynamicAnchor", '"node"')], '{"$dynamicRef":"#node"}'),
    ([("$id", f'"{_ID}"')], '{"$ref":"a.json#/$defs/one","title":"r"}'),
    ([("$id", f'"{_ID}"')], f'{{"allOf":[{{"$ref":"{_ID}"}},{{"$ref":"#"}}]}}'),
    ([], f'{{"$id":"{_ID}","$defs":{{"t":{{"$id":"t.json","$anchor":"x"}}}},"items":{{"$ref":"t.json#x"}}}}'),
)


@st.composite
def tool_schemas(draw: st.DrawFn) -> str:
    """A schema of type object with any keywords; the references in it lead somewhere."""
    keywords = _keywords(_schemas)
    chosen = draw(st.lists(st.sampled_from(sorted(set(keywords) - {"type"})), max_size=6, unique=True))
    pairs = [("type", '"object"'), *((key, draw(keywords[key])) for key in chosen)]
    more, reference = draw(st.sampled_from(_REFERENCES))
    one, other = draw(_plain.filter(lambda text: "ref" not in text)), draw(_schemas)
    pairs.append(("$defs", spelled_object([("one", one), ("z", other), ("r", reference)], "")))
    dialect = draw(st.sampled_from(("", '"https://json-schema.org/draft/2020-12/schema"')))
    if dialect:
        pairs.append(("$schema", dialect))
    # Any keyword may have been drawn already.
    pairs += [pair for pair in more if pair[0] not in chosen]
    return spelled_object(draw(st.permutations(pairs)), draw(spaces))


@dataclass(frozen=True)
class Definition:
    """What an upstream lists: `text` with a mark where the number goes that makes its name one of a kind."""

    kind: str
    text: str

    def numbered(self, number: int) -> str:
        """The definition as the upstream lists it."""
        return self.text.replace(NUMBER, str(number))


NUMBER = "\x02number\x02"
_letters = st.text(st.characters(categories=("Lu", "Ll", "Nd"), exclude_characters="\x02"), max_size=8)
_names = st.one_of(_letters, st.sampled_from(("x" * 70, "a.b/c-d_e", "größe", "工具", "\U0001f600")))
_tool_names = st.builds(lambda name, spell: spell(name + "_" + NUMBER), _names, st.just(_quoted := lambda t: f'"{t}"'))
_any_names = st.one_of(_tool_names, st.sampled_from(("with space", "tab\\t", "nul\\u0000", "\\u00fc")).map(
    lambda name: _quoted(f"{name} {NUMBER}")
))  # fmt: skip
_icons = opaque(arrays(object_of({"src": strings}, {"sizes": one('["48x48"]'), "theme": one('"dark"')}), 2))
_hints = object_of({}, {"title": strings, "readOnlyHint": booleans, "destructiveHint": booleans})
_shared = {"title": strings, "description": strings, "icons": _icons, "_meta": metas}
_uri_parts = st.sampled_from(("a", "ü", "%C3%BC", "a b", "?q=1&r=2", "#f", "\\u0041", "x" * 300))
_uris = _uri_parts.map(lambda part: f'"test://{NUMBER}/{part}"')

tools = object_of(
    {"name": _tool_names, "inputSchema": tool_schemas()},
    {**_shared, "outputSchema": tool_schemas(), "annotations": _hints, "execution": one('{"taskSupport":"optional"}')},
).map(lambda text: Definition("tools", text))
_arguments = object_of({"name": strings}, {"title": strings, "description": strings, "required": booleans})
prompts = object_of({"name": _any_names}, {**_shared, "arguments": arrays(_arguments)}).map(
    lambda text: Definition("prompts", text)
)
resources = object_of({"uri": _uris, "name": strings}, {**_shared, "mimeType": strings, "size": numbers}).map(
    lambda text: Definition("resources", text)
)
templates = object_of(
    {"uriTemplate": _uri_parts.map(lambda part: f'"test://{NUMBER}/{part}{{id}}"'), "name": strings},
    {**_shared, "mimeType": strings},
).map(lambda text: Definition("resourceTemplates", text))
definitions = st.one_of(tools, tools, prompts, resources, templates)
