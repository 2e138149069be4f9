"""Signatures of webhooks, with the example of the specification."""

from __future__ import annotations

import pytest

from callboard.kernel.webhook_signatures import TOLERANCE, is_genuine, key_of, signature_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
GOOD = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = float(TIME)


def test_the_example_of_the_specification_is_signed_the_same() -> None:
    assert signature_of(key_of(SECRET), ID, TIME, BODY) == GOOD
    assert is_genuine(key_of(SECRET), ID, TIME, GOOD, BODY, NOW)
    assert is_genuine(key_of(SECRET), ID, TIME, f"v1,AAAA v1a,x {GOOD}", BODY, NOW + TOLERANCE)


@pytest.mark.parametrize(
    ("id", "time", "signatures", "body", "now"),
    [
        ("msg_other", TIME, GOOD, BODY, NOW),
        ("", TIME, GOOD, BODY, NOW),
        (ID, "1614265331", GOOD, BODY, NOW),
        (ID, "", GOOD, BODY, NOW),
        (ID, "1e9", GOOD, BODY, NOW),
        (ID, "9" * 5000, GOOD, BODY, NOW),
        (ID, TIME, "", BODY, NOW),
        (ID, TIME, GOOD.removeprefix("v1,"), BODY, NOW),
        (ID, TIME, GOOD.replace("v1,", "v2,"), BODY, NOW),
        (ID, TIME, "v1,ü", BODY, NOW),
        (ID, TIME, GOOD, BODY + b" ", NOW),
        (ID, TIME, GOOD, BODY, NOW + TOLERANCE + 1),
        (ID, TIME, GOOD, BODY, NOW - TOLERANCE - 1),
    ],
)
def test_another_message_sender_or_time_is_refused(
    id: str, time: str, signatures: str, body: bytes, now: float
) -> None:
    assert not is_genuine(key_of(SECRET), id, time, signatures, body, now)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        key_of(secret)
