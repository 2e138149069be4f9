"""What a server says about keeping its lists, over all pages, and when another saying is another catalogue."""

from __future__ import annotations

import pytest

from callboard.contracts.definitions import CacheHint, Catalogue
from callboard_connectors.discovery.domain import MAX_TTL_MS, digest_of_catalogue, hint_of, strictest

PUBLIC, PRIVATE = CacheHint(ttl_ms=9, scope="public"), CacheHint(ttl_ms=5, scope="private")


@pytest.mark.parametrize(
    ("page", "hint"),
    [
        (b'{"tools":[],"ttlMs":9,"cacheScope":"public"}', PUBLIC),
        (b'{"ttlMs":5,"cacheScope":"private"}', PRIVATE),
        (b'{"ttlMs":5}', PRIVATE),
        (b'{"ttlMs":999999999999}', CacheHint(ttl_ms=MAX_TTL_MS, scope="private")),
        (b'{"tools":[]}', None),
        (b'{"cacheScope":"public"}', None),
        (b'{"ttlMs":-1,"cacheScope":"public"}', None),
        (b'{"ttlMs":"9","cacheScope":"public"}', None),
        (b'{"ttlMs":9,"cacheScope":"everybody"}', None),
        (b"[]", None),
    ],
)
def test_a_page_says_it_or_nothing_that_can_be_used(page: bytes, hint: CacheHint | None) -> None:
    assert hint_of(page) == hint


def test_the_pages_of_a_list_hold_together_what_the_strictest_of_them_says() -> None:
    assert strictest([PUBLIC, PUBLIC]) == PUBLIC
    assert strictest([PUBLIC, PRIVATE]) == PRIVATE
    assert strictest([PRIVATE, CacheHint(ttl_ms=1, scope="public")]) == CacheHint(ttl_ms=1, scope="private")
    assert strictest([PUBLIC, None]) is None
    assert strictest([]) is None


def digest(ttl: int | None, scope: str = "public") -> str:
    if ttl is None:
        return digest_of_catalogue(Catalogue(era="2026-07-28"))
    hint = CacheHint(ttl_ms=ttl, scope=scope)  # type: ignore[arg-type]  # one of the two
    return digest_of_catalogue(Catalogue(era="2026-07-28", caching={"tools": hint}))


def test_a_time_that_counts_down_is_no_new_catalogue_every_time() -> None:
    assert digest(60_000) == digest(59_999) == digest(10_000)
    assert len({digest(None), digest(0), digest(5_000), digest(60_000), digest(60_000, "private")}) == 5
