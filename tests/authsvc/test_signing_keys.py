"""Signing keys: published before they sign, kept until what they signed is over, one decision for all instances."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from callboard.contracts import signing_subjects as subjects
from callboard.contracts.layers import SYSTEM
from callboard.contracts.signing import AskSigningKeys, RotateSigningKey, SigningKeyLine, SigningKeys
from callboard.contracts.signing_events import SigningKeyPublished, SigningKeyRemoved
from callboard.kernel.access_tokens import LONGEST_SECONDS, AccessClaims
from callboard.platform.bus import Bus
from callboard_authsvc.adapters.key_file import KeyFile
from callboard_authsvc.adapters.key_ring import KeyRing
from callboard_authsvc.adapters.signing_key_table import SigningKeyTable
from callboard_authsvc.clock import system_chance
from callboard_authsvc.signing.domain import KEPT, OVERLAP, ROTATE_EVERY, SIGNING_KEYS, Fresh, Keep, Rotate
from callboard_authsvc.signing.mint import Minter
from tests.authsvc.given import Given
from tests.authsvc.stack import Stack, SteppingClock, new_id, refused

START = datetime(2026, 11, 20, tzinfo=UTC)
NEXT = Fresh(kid="next", thumbprint="t")
SECOND = timedelta(seconds=1)


def published(kid: str, signs_from: datetime) -> SigningKeyPublished:
    return SigningKeyPublished(kid=kid, thumbprint="t", signs_from=signs_from)


def test_the_first_key_signs_at_once_and_is_made_once() -> None:
    Given(SIGNING_KEYS).when(Keep(at=START, fresh=NEXT)).then(published("next", START))
    Given(SIGNING_KEYS, published("a", START)).when(Keep(at=START, fresh=NEXT)).then_nothing()


def test_the_next_key_is_published_a_day_before_it_signs() -> None:
    due = START + ROTATE_EVERY
    first = published("a", START)
    Given(SIGNING_KEYS, first).when(Keep(at=due - OVERLAP - SECOND, fresh=NEXT)).then_nothing()
    Given(SIGNING_KEYS, first).when(Keep(at=due - OVERLAP, fresh=NEXT)).then(published("next", due))


def test_upkeep_that_comes_late_still_leaves_a_day() -> None:
    late = START + ROTATE_EVERY * 2
    Given(SIGNING_KEYS, published("a", START)).when(Keep(at=late, fresh=NEXT)).then(published("next", late + OVERLAP))


def test_an_old_key_goes_when_nothing_it_signed_can_be_in_use() -> None:
    handed_over = START + timedelta(days=1)
    both = (published("a", START), published("b", handed_over))
    Given(SIGNING_KEYS, *both).when(Keep(at=handed_over + KEPT - SECOND, fresh=NEXT)).then_nothing()
    Given(SIGNING_KEYS, *both).when(Keep(at=handed_over + KEPT, fresh=NEXT)).then(SigningKeyRemoved(kid="a"))
    assert timedelta(seconds=LONGEST_SECONDS + 300) <= KEPT


def test_a_rotation_waits_for_the_one_before_it() -> None:
    later = START + timedelta(days=3)
    Given(SIGNING_KEYS, published("a", START)).when(Rotate(at=later, fresh=NEXT)).then(
        published("next", later + OVERLAP)
    )
    both = (published("a", START), published("b", later + OVERLAP))
    Given(SIGNING_KEYS, *both).when(Rotate(at=later, fresh=NEXT)).then_nothing()


def test_a_key_that_leaked_is_replaced_at_once() -> None:
    both = (published("a", START), published("b", START + OVERLAP))
    Given(SIGNING_KEYS, *both).when(Rotate(at=START, fresh=NEXT, at_once=True)).then(
        SigningKeyRemoved(kid="a"), SigningKeyRemoved(kid="b"), published("next", START)
    )


def claims(**changes: int) -> AccessClaims:
    now = int(START.timestamp())
    times = {"iat": now, "exp": now + 60, **changes}
    return AccessClaims(
        iss="https://h",
        sub="m",
        aud="https://h/mcp",
        jti="j",
        client_id="c",
        scope="mcp:use",
        org="o",
        gid="g",
        **times,
    )


async def keys_of(bus: Bus) -> tuple[SigningKeyLine, ...]:
    return (await bus.ask(subjects.SIGNING_KEYS, AskSigningKeys(), SigningKeys, within=5)).keys


async def rotate(bus: Bus, **how: object) -> tuple[SigningKeyLine, ...]:
    command = RotateSigningKey(command_id=new_id(), organisation=SYSTEM, actor="ann", **how)  # type: ignore[arg-type]
    return (await bus.ask(subjects.ROTATE_SIGNING_KEY, command, SigningKeys, within=5)).keys


def key_set(lines: tuple[SigningKeyLine, ...]) -> KeySet:
    jwks = [{"kty": "EC", "crv": "P-256", "kid": line.kid, "x": line.x, "y": line.y} for line in lines]
    return KeySet.import_key_set({"keys": jwks})  # type: ignore[typeddict-item]


async def test_several_instances_have_one_key_and_rotate_it_together(stack: Stack) -> None:
    clock = SteppingClock(START)
    await asyncio.gather(*(stack.authsvc(clock=clock) for _ in range(3)))
    bus = await stack.bus_of("edge")
    (first,) = await keys_of(bus)
    table = SigningKeyTable(await stack.pool())
    file = KeyFile.load(stack.key_file, system_chance, create=False)
    minter = Minter(table, KeyRing([file]), clock)
    by_first = await minter.mint(claims())

    answers = await asyncio.gather(*(rotate(bus) for _ in range(4)))

    assert {len(answer) for answer in answers} == {2}
    both = await keys_of(bus)
    assert jwt.decode(await minter.mint(claims()), key_set(both)).header["kid"] == first.kid
    clock.step(hours=24)
    after = jwt.decode(await minter.mint(claims()), key_set(both), algorithms=["ES256"])
    assert after.header == {"alg": "ES256", "typ": "at+jwt", "kid": both[1].kid}
    assert jwt.decode(by_first, key_set(both)).claims["gid"] == "g"
    assert await stack.events(SYSTEM) == ["signing_key.published"] * 2

    await refused("comment.required", rotate(bus, at_once=True))
    (fresh,) = await rotate(bus, at_once=True, comment="it leaked")
    assert fresh.kid not in {line.kid for line in both}
    assert jwt.decode(await minter.mint(claims()), key_set((fresh,))).header["kid"] == fresh.kid
    assert len(await stack.rows("select 1 from cb.signing_key")) == 1


async def test_private_halves_are_sealed_and_open_with_the_key_file_alone(stack: Stack) -> None:
    await stack.authsvc()
    (row,) = await stack.rows("select wrapped, x, kek_id from cb.signing_key")
    assert b'"d"' not in bytes(row["wrapped"])
    foreign = KeyFile(bytes(32), system_chance)
    table = SigningKeyTable(await stack.pool())
    await refused("secret.unreadable", Minter(table, KeyRing([foreign]), lambda: datetime.now(UTC)).mint(claims()))


async def test_nothing_mints_a_token_that_outlives_its_key() -> None:
    class Nothing:
        async def all(self) -> list[object]:
            raise AssertionError("not asked")

    minter = Minter(Nothing(), KeyRing([KeyFile(bytes(32), system_chance)]), lambda: START)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lives at most"):
        await minter.mint(claims(exp=int(START.timestamp()) + LONGEST_SECONDS + 1))
