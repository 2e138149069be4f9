from __future__ import annotations

import pytest

from callboard.kernel.plain_json import plain
from callboard_router.catalogue.schema import ArgumentCheck


def test_arguments_that_fit_pass_and_others_are_explained() -> None:
    check = ArgumentCheck(
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    )
    assert check.faults({"n": 1}) == []
    assert check.faults({"n": "x"}) == ['arguments.n: "x" is not of type "integer"']
    assert len(check.faults({"m": 1})) == 2


def test_a_network_reference_is_never_followed() -> None:
    with pytest.raises(Exception, match=r"http://127\.0\.0\.1:9/x"):
        ArgumentCheck({"$ref": "http://127.0.0.1:9/x"})


def test_a_catastrophic_pattern_is_linear() -> None:
    check = ArgumentCheck({"type": "string", "pattern": "^(a+)+$"})
    assert check.faults("a" * 50_000 + "!")


def test_a_pattern_that_needs_look_around_still_works_within_bounds() -> None:
    check = ArgumentCheck({"type": "string", "pattern": "^(?=a)a.*$"})
    assert check.faults("abc") == []
    assert check.faults("b")


def test_numbers_beyond_64_bits_are_left_to_the_upstream() -> None:
    check = ArgumentCheck({"type": "object", "properties": {"n": {"type": "integer"}}})
    assert check.faults({"n": 2**80}) == []


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5000])
def test_a_number_beyond_every_range_is_still_a_number(number: bytes) -> None:
    check = ArgumentCheck({"type": "object", "properties": {"n": {"type": "number"}, "t": {"type": "string"}}})
    assert check.faults(plain(b'{"n":%b}' % number)) == []
    assert check.faults(plain(b'{"n":%b,"t":1}' % number))
