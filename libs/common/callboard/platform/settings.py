"""Settings: one frozen struct per room, read from `CALLBOARD_*`; a bad one is refused at start by name.

`CALLBOARD_<ROOM>_<NAME>` wins over the shared `CALLBOARD_<NAME>`; an unknown `CALLBOARD_<ROOM>_…` is refused,
so that a misspelt setting is never silently ignored. `CALLBOARD_<ROOM>_<NAME>_FILE` names a file with the value.
Nothing else reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec


class SettingsRefused(Exception):
    """A setting is wrong; the text names the variable, never its value."""


class Sensitive(str):
    """A text that does not print: passwords, keys, connection strings."""

    def __repr__(self) -> str:
        return "[redacted]"


class CommonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every room needs. Times are seconds. `production` refuses settings that are for a machine of one's own.

    `otlp_endpoint`: the OpenTelemetry collector that gets traces, by HTTP (`http://127.0.0.1:4318`); empty: no traces.
    `trace_share`: of the requests that come without a trace context of their own, which part is traced; a caller that
    sends one has decided (https://www.w3.org/TR/trace-context/#sampled-flag).
    """

    nats_url: str = "nats://127.0.0.1:4222"
    nats_credentials: str = ""
    instance: str = ""
    log_level: str = "info"
    otlp_endpoint: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s/]+\S*)?$")] = ""
    trace_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    production: bool = False


class DatabaseSettings(CommonSettings, frozen=True, kw_only=True):
    """Rooms that read or write the log."""

    database_url: str = "postgresql://callboard@127.0.0.1:5432/callboard"
    database_pool: int = 8


Settings = TypeVar("Settings", bound=CommonSettings)


def _text_to(value: Any, kind: type) -> Any:
    """msgspec's lax mode reads numbers and `1`/`0`; people also write `yes` and `on`."""
    if kind is bool and isinstance(value, str):
        return {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(value.lower(), value)
    return value


def _sensitive(kind: type, value: Any) -> Any:
    if kind is Sensitive and isinstance(value, str):
        return Sensitive(value)
    raise NotImplementedError(f"settings cannot be of type {kind.__name__}")


def _variables(own: str, name: str) -> tuple[str, ...]:
    upper = name.upper()
    return (f"{own}{upper}", f"{own}{upper}_FILE", f"CALLBOARD_{upper}")


def _value(source: Mapping[str, str], variable: str, name: str) -> str:
    """The value itself, or what stands in the file that `…_FILE` names: how containers hand over secrets."""
    if variable.endswith("_FILE") and not name.endswith("_file"):
        return Path(source[variable]).read_text(encoding="utf-8").strip()
    return source[variable]


def load(kind: type[Settings], room: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of a room; raises `SettingsRefused` naming every bad variable."""
    source = os.environ if environ is None else environ
    own = f"CALLBOARD_{room.upper()}_"
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    faults = [
        f"{name} is not a setting of {room}"
        for name in source
        if name.startswith(own)
        and name[len(own) :].removesuffix("_FILE").lower() not in fields
        and name[len(own) :].lower() not in fields
    ]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        variable = next((v for v in _variables(own, name) if v in source), None)
        if variable is None:
            continue
        try:
            text = _text_to(_value(source, variable, name), field.type)
            values[name] = msgspec.convert(text, field.type, strict=False, dec_hook=_sensitive)
        except msgspec.ValidationError as error:
            faults.append(f"{variable}: {str(error).lower()}")
        except OSError as error:
            faults.append(f"{variable}: the file cannot be read ({error.strerror})")
    if faults:
        raise SettingsRefused("; ".join(sorted(faults)))
    try:
        plain = msgspec.to_builtins(kind(**values), enc_hook=str.__str__)
        return msgspec.convert(plain, kind, dec_hook=_sensitive)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise SettingsRefused(f"settings of {room}: {error}") from None
