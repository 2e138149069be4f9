"""Subjects of policies, switches and limits; who may use them stands in `subjects.PERMISSIONS`."""

from __future__ import annotations

SET_POLICY = "cb.cmd.policy.set"
REMOVE_POLICY = "cb.cmd.policy.remove"
SWITCH_SERVER = "cb.cmd.policy.switch_server"
POLICIES = "cb.ask.router.policies"
POLICY = "cb.ask.router.policy"
EXPLAIN_POLICY = "cb.ask.router.explain_policy"
TEST_POLICIES = "cb.ask.router.test_policies"

LIMIT = "cb.limit"  # cb.limit.<short|long>.<window>.<counter>  router > JetStream counters (ADR-49)
STREAMS_LIMITS = {"short": "CB_LIMITS_SHORT", "long": "CB_LIMITS_LONG"}
"""Counters of windows up to a minute, and of longer ones: each is kept a little longer than its windows."""


def limit(kept: str, counter: str) -> str:
    """Subject of one counter; `counter` is made of tokens."""
    return f"{LIMIT}.{kept}.{counter}"
