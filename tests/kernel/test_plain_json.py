from __future__ import annotations

import sys

import msgspec
import pytest

from callboard.kernel.digest import digest_of_json
from callboard.kernel.plain_json import plain

LARGEST = sys.float_info.max


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":[1,1.5,"x",null,true]}', {"a": [1, 1.5, "x", None, True]}),
        (b"[1e400,-1e400,2]", [LARGEST, -LARGEST, 2]),
        (b'{"a":%b}' % (b"9" * 5000), {"a": LARGEST}),
        (b"[-%b]" % (b"9" * 5000), [-LARGEST]),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_a_number_of_any_size_can_be_looked_at(text: bytes, value: object) -> None:
    assert plain(text) == value
    assert digest_of_json(text).startswith("sha256:")


@pytest.mark.parametrize("text", [b"", b"{", b"nonsense", b'"\\ud800"'])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        plain(text)
