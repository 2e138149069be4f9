"""Every request that the management API takes, from its own description, with places for ids."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from callboard import contracts

_KINDS = {
    "organisation": "organisation", "playbook": "playbook", "playbooks/name": "playbook", "server": "server",
    "servers/name": "server", "secrets/name": "secret", "secret": "secret", "consumers/name": "consumer",
    "consumer": "consumer", "project": "project", "client": "client", "principal": "client", "subject": "client",
    "key_id": "key", "member": "member", "invitation": "invitation", "person": "person", "call_id": "call",
    "trace_id": "trace", "event": "event", "digest": "digest", "tool": "tool", "account": "account",
    "hash": "hash", "exported": "export", "email": "email", "grant": "grant", "client_id": "oauth_client",
    "webhooks/name": "webhook", "webhook": "webhook", "policy": "policy",
}  # fmt: skip
"""Name of a parameter or field (in a path: behind the part before it) -> kind of id."""
_HARMLESS: dict[str, Any] = {
    "projections/name": "playbooks", "number": 1, "version": 1, "before": 1, "after": 2, "to": 1, "days": 7,
    "limit": 50, "cursor": "", "seq": 1, "at": "2026-11-20T10:00:00Z", "since": "2026-11-20T10:00:00Z", "min_us": 0,
    "until": "2027-11-20T10:00:00Z", "era": "2026-07-28", "outcome": "ok", "comment": "why", "everywhere": False,
    "state": "x", "code": "x", "iss": "x", "expected": 1, "percent": 5.0, "condition": "errors > 2%", "min_calls": 50,
    "title": "T", "plan": "", "value": "v", "role": "viewer", "permissions": [], "scopes": ["use"], "playbooks": [],
    "expires_in_seconds": 3600, "overlap_seconds": 60, "password": "correct horse battery", "current": "x",
    "token": "x", "name": "x", "unsafe": [], "ignore": [], "prefer": "draft", "layer": {"instructions": "x"},
    "edits": [{"path": ["title"], "value": "x"}], "servers": {}, "dry_run": True, "prune": False, "own": False,
    "accept_drift": False, "register_servers": False, "ignore_times": False, "candidate": None, "quotas": None,
    "expected_version": 1, "expected_revision": 1, "command_id": None, "public_keys": "", "at_once": False,
    "url": "https://example.com/hook", "kinds": ["never.*"], "first": 1, "last": 2,
    "kind": "playbook.*", "newest": False,
    "webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA", "Idempotency-Key": None,
}  # fmt: skip
"""What names nobody's things."""
_BODIES: dict[str, dict[str, Any]] = {
    "DecideDrift": {"things": [{"name": "<tool>", "after": "<digest>"}], "comment": "why"},
    "WhichChain": {"organisation": "<organisation>", "witnesses": [{"seq": 1, "hash": "<hash>"}]},
    "WantedState": {"playbooks": {"<playbook>": {"servers": {"<server>": {}}}}, "comment": "x", "dry_run": True},
    "NewPolicy": {"definition": {"for": {"clients": ["<client>"]}}, "comment": "why", "dry_run": True},
    "Attempt": {"playbook": "<playbook>", "name": "<tool>", "client": "<client>", "key": "<key>", "member": "<member>"},
    "PolicyRehearsal": {"policies": {"<policy>": {"playbooks": ["<playbook>"]}}, "days": 1},
    "Switch": {"on": True, "comment": "why"},
    "NewToken": {"client": "<client>", "scopes": ["use"], "playbooks": ["<playbook>"]},
    "Registration": {"token": "x", "email": "<email>", "password": "correct horse battery"},
    "NewInvitation": {"role": "viewer", "email": "<email>"},
    "PlanOf": {"plan": "custom", "quotas": {}, "comment": "why"},
}
"""Bodies in which ids stand deeper."""
NOT_TRIED = {
    ("POST", "/session"): "counts attempts to sign in, by address: test_sign_in.py",
    ("DELETE", "/session"): "ends the session that tries",
    ("POST", "/session/renew"): "exchanges the session that tries",
    ("PUT", "/me/password"): "ends the session that tries",
    ("GET", "/session/external"): "where somebody goes who is nobody yet: test_external_sign_in.py",
    ("GET", "/session/external/callback"): "where somebody comes back who is nobody yet: test_external_sign_in.py",
    ("POST", "/people"): "counts attempts, by address: test_sign_in.py",
    ("POST", "/password-resets/use"): "counts attempts, by address: test_sign_in.py",
}
"""(Method, path) -> why."""


class Route(NamedTuple):
    """A request with places for ids, `<kind>`; `query` has what may be left out too."""

    method: str
    path: str
    query: dict[str, Any]
    required: frozenset[str]
    headers: dict[str, str]
    body: Any

    @property
    def kinds(self) -> set[str]:
        """The kinds of ids it takes."""
        return set(re.findall(r"<(\w+)>", json.dumps([self.path, self.query, self.body])))


def routes_of(document: Mapping[str, Any]) -> list[Route]:
    """Every operation of the API, from its own description; a parameter nobody knows here is a `KeyError`."""
    found = []
    for path, operations in document["paths"].items():
        if path.startswith("/api/v1"):
            for method, operation in operations.items():
                route = _route(method.upper(), path.removeprefix("/api/v1"), operation)
                if (route.method, path.removeprefix("/api/v1")) not in NOT_TRIED:
                    found.append(route)
    return found


def _route(method: str, path: str, operation: Mapping[str, Any]) -> Route:
    query, required, headers = {}, set(), {}
    filled = path
    for parameter in operation.get("parameters", ()):
        name, place = parameter["name"], parameter["in"]
        if place == "path":
            before = re.search(rf"(\w+)/\{{{name}\}}", path)
            assert before is not None
            key = f"{before[1]}/name" if name == "name" else name
            filled = filled.replace(f"{{{name}}}", str(_value(key)))
        elif place == "query":
            query[name] = _value(name)
            required |= {name} if parameter.get("required") else set()
        elif _HARMLESS[name] is not None:
            headers[name] = _HARMLESS[name]
    schemas = [media["schema"] for media in operation.get("requestBody", {}).get("content", {}).values()]
    body = _body(schemas[0]["$ref"].rpartition("/")[2]) if schemas else None
    return Route(method, filled, query, frozenset(required), headers, body)


def _value(name: str) -> Any:
    return f"<{_KINDS[name]}>" if name in _KINDS else _HARMLESS[name]


def _body(schema: str) -> Any:
    if schema in _BODIES:
        return _BODIES[schema]
    fields = _fields(schema)
    return {name: value for name in fields if (value := _value(name)) is not None}


def _fields(schema: str) -> tuple[str, ...]:
    """What the body of this name holds; it is in some module of the contracts."""
    for found in pkgutil.iter_modules(contracts.__path__):
        struct = getattr(importlib.import_module(f"callboard.contracts.{found.name}"), schema, None)
        if struct is not None:
            names: tuple[str, ...] = struct.__struct_fields__
            return names
    raise KeyError(schema)
