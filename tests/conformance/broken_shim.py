"""The shim with a connector that makes the mistakes which the client leg must catch. Its tests start it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from unittest import mock

from callboard_authsvc.upstream_oauth import discover, finish
from callboard_authsvc.upstream_oauth import domain as sign_in_rules
from callboard_connectors.discovery import domain as discovery
from callboard_connectors.sessions import negotiate, upstream
from callboard_connectors.sessions.http_session import HttpSession
from callboard_connectors.sessions.session import Outgoing
from tests.conformance import connector, shim

_get = HttpSession._get
_head_of = HttpSession._head_of


def _forget_the_event(session: HttpSession, headers: Mapping[str, str]) -> Any:
    return _get(session, {})


def _head_without_a_name(session: HttpSession, outgoing: Outgoing) -> bytes:
    return _head_of(session, Outgoing(outgoing.id, outgoing.method, outgoing.message))


FAULTS: tuple[tuple[Any, str, Any], ...] = (
    (HttpSession, "next_id", lambda session: 7),
    (HttpSession, "_get", _forget_the_event),
    (HttpSession, "_head_of", _head_without_a_name),
    (discovery, "annotation_fault", lambda schema: None),
    (upstream, "header_maps", lambda tools: {}),
    (negotiate, "names_modern", lambda refused: False),
    (discover, "is_resource_of", lambda resource, url: True),
    (discover, "same_issuer", lambda said, wanted, alias: True),
    (finish, "check_answer", lambda server, iss: None),
    (sign_in_rules, "union", lambda before, more: more),
    (connector, "accepted", lambda question: {"action": "accept", "content": {}}),
)


def main() -> int:
    with ExitStack() as broken:
        for owner, name, value in FAULTS:
            broken.enter_context(mock.patch.object(owner, name, value))
        return shim.main()


if __name__ == "__main__":
    sys.exit(main())
