"""JSON texts as plain data, whatever the size of their numbers; pure.

JSON sets no bound to a number (RFC 8259 section 6), decoders do. What only has to be looked at, and travels on as the
bytes it is, must not be refused for a number that is beyond ours: such a one reads as the largest float (not as an
infinite one, which validators take for null).
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

_LONGEST = 4000  # digits; from 4300 on Python refuses to make an integer


def _float(text: str) -> float:
    return min(max(float(text), -sys.float_info.max), sys.float_info.max)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONGEST else _float(digits)


_decode = msgspec.json.Decoder().decode
_any_number = json.JSONDecoder(parse_int=_integer, parse_float=_float).decode


def plain(raw: bytes | msgspec.Raw) -> Any:
    """Dicts, lists, texts, numbers. Raises `msgspec.DecodeError` for what is not JSON."""
    try:
        return _decode(raw)
    except msgspec.ValidationError:
        return _any_number(bytes(raw).decode())
