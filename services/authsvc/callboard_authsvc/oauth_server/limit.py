"""How often one address may make work here; exact over all instances."""

from __future__ import annotations

from callboard.contracts.problems import Problem
from callboard_authsvc.oauth_server.dependencies import OAuthDependencies
from callboard_authsvc.people.domain import ATTEMPT_WINDOW, seconds_to_wait


async def limit(kind: str, address: str, allowed: int, use: OAuthDependencies) -> None:
    """Count one more of this kind; raises `oauth.too_many` for more than are allowed in a quarter of an hour."""
    now = use.clock()
    subject = use.verifier.of(f"{kind}:{address}")
    first = await use.attempts.take([(subject, allowed)], now - ATTEMPT_WINDOW, now)
    if first is not None:
        wait = seconds_to_wait(first, now)
        raise Problem(
            "oauth.too_many", f"there were too many of these from this address; wait {wait} s", retry_after=wait
        )
