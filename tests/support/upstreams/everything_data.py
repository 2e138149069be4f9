"""Prompts, resources and schemas of the everything server."""

from __future__ import annotations

import base64
import io
import json
import re
import wave
from typing import Any

import mcp_types as types

from tests.support.upstreams.everything_call import Call, elicit

# One red pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
STATIC_TEXT, STATIC_BINARY, WATCHED = "test://static-text", "test://static-binary", "test://watched-resource"
_TEMPLATE = re.compile(r"^test://template/(?P<id>[^/]+)/data$")
_WORDS = ("paris", "park", "party", "test", "testing")

DIALECT_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

HEADER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "priority": {"type": "integer", "x-mcp-header": "Priority"},
        "verbose": {"type": "boolean", "x-mcp-header": "Verbose"},
        "note": {"type": "string"},
    },
    "required": ["region"],
}

DEFAULTS_FORM: dict[str, Any] = {
    "name": {"type": "string", "description": "Full name", "default": "John Doe"},
    "age": {"type": "integer", "description": "Age in years", "default": 30},
    "score": {"type": "number", "description": "Score", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "description": "Whether verified", "default": True},
}


def _titled(word: str) -> list[dict[str, str]]:
    ordinals = ("First", "Second", "Third")
    return [{"const": f"value{n}", "title": f"{name} {word}"} for n, name in enumerate(ordinals, 1)]


ENUMS_FORM: dict[str, Any] = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": _titled("Option")},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": _titled("Choice")}},
}


def wav() -> str:
    """A hundredth of a second of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * 80)
    return base64.b64encode(buffer.getvalue()).decode()


def embedded(uri: str, kind: str, text: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=kind, text=text))


RESOURCES = [
    types.Resource(uri=STATIC_TEXT, name="static-text", description="A fixed text", mime_type="text/plain"),
    types.Resource(uri=STATIC_BINARY, name="static-binary", description="A fixed picture", mime_type="image/png"),
    types.Resource(uri=WATCHED, name="watched-resource", description="A text that can change", mime_type="text/plain"),
]
TEMPLATES = [
    types.ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template-data",
        description="Data of one id",
        mime_type="application/json",
    )
]


def read(uri: str, revision: int) -> types.TextResourceContents | types.BlobResourceContents | None:
    """The content of a resource, if there is one."""
    if uri == STATIC_TEXT:
        text = "This is the content of the static text resource."
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    if uri == STATIC_BINARY:
        return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    if uri == WATCHED:
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text=f"Revision {revision}")
    if match := _TEMPLATE.match(uri):
        name = match["id"]
        data = {"id": name, "templateTest": True, "data": f"Data for ID: {name}"}
        return types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(data))
    return None


def _prompt(name: str, description: str, **arguments: str) -> types.Prompt:
    described = [
        types.PromptArgument(name=argument, description=text, required=True) for argument, text in arguments.items()
    ]
    return types.Prompt(name=name, description=description, arguments=described or None)


PROMPTS = [
    _prompt("test_simple_prompt", "A prompt without arguments"),
    _prompt(
        "test_prompt_with_arguments",
        "A prompt with two arguments",
        arg1="First test argument",
        arg2="Second test argument",
    ),
    _prompt(
        "test_prompt_with_embedded_resource",
        "A prompt that embeds a resource",
        resourceUri="URI of the resource to embed",
    ),
    _prompt("test_prompt_with_image", "A prompt with a picture"),
    _prompt("test_input_required_result_prompt", "A prompt that asks first"),
]
EXTRA_PROMPT = _prompt("test_dynamic_prompt", "Comes and goes")


async def prompt_messages(name: str, call: Call) -> list[types.PromptMessage] | None:
    """The messages of a prompt, if there is one of that name."""
    arguments = call.arguments
    match name:
        case "test_simple_prompt" | "test_dynamic_prompt":
            return [_says("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            first, second = arguments.get("arg1"), arguments.get("arg2")
            return [_says(f"Prompt with arguments: arg1='{first}', arg2='{second}'")]
        case "test_prompt_with_embedded_resource":
            uri = str(arguments.get("resourceUri"))
            resource = embedded(uri, "text/plain", "Embedded resource content for testing.")
            return [_user(resource), _says("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            image = types.ImageContent(data=PNG, mime_type="image/png")
            return [_user(image), _says("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            question = elicit("What context should the prompt use?", {"context": {"type": "string"}}, ["context"])
            answer = (await call.ask({"user_context": question}))["user_context"]
            return [_says(f"Use this context: {answer.get('content', {}).get('context')}")]
    return None


def complete(params: types.CompleteRequestParams) -> list[str]:
    """Values that begin with what was typed."""
    reference, typed = params.ref, params.argument.value
    known: tuple[str, ...]
    if isinstance(reference, types.PromptReference):
        known = _WORDS if reference.name == "test_prompt_with_arguments" else ()
    else:
        known = ("123", "124", "200") if reference.uri == TEMPLATES[0].uri_template else ()
    return [value for value in known if value.startswith(typed)]


def _user(content: types.ContentBlock) -> types.PromptMessage:
    return types.PromptMessage(role="user", content=content)


def _says(text: str) -> types.PromptMessage:
    return _user(types.TextContent(text=text))
