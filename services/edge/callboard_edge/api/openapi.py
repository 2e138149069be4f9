"""OpenAPI schemas of the contracts. Litestar's own plugin fails on defaults that cannot be hashed and on `Raw`.

Above: `app.py` gives it to Litestar. Below: `msgspec.inspect`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from litestar.openapi.spec import Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.types import Empty
from litestar.typing import FieldDefinition

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator


class ContractSchemas(OpenAPISchemaPlugin):
    """Describes msgspec structs, tags included, and raw JSON as "anything"."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Structs and raw JSON; unions of them are left to Litestar."""
        return not field_definition.is_union and field_definition.is_subclass_of((msgspec.Struct, msgspec.Raw))

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """The schema of one struct, put among the components."""
        if field_definition.is_subclass_of(msgspec.Raw):
            return Schema(description="JSON as the upstream server sent it")
        hints = field_definition.get_type_hints(include_extras=True, resolve_generics=True)
        struct = msgspec.inspect.type_info(field_definition.type_)
        assert isinstance(struct, msgspec.inspect.StructType)
        fields = {
            field.encode_name: FieldDefinition.from_annotation(
                annotation=hints[field.name], name=field.encode_name, default=_plain(field.default)
            )
            for field in struct.fields
        }
        required = [field.encode_name for field in struct.fields if field.required]
        if struct.tag_field is not None:
            fields[struct.tag_field] = FieldDefinition.from_annotation(Literal[struct.tag])
        return schema_creator.create_component_schema(
            field_definition, required=sorted(required), property_fields=fields
        )


def _plain(default: Any) -> Any:
    return default if isinstance(default, str | int | float | bool) else Empty
