"""Each threat's test fails when its control is taken out: the very test, or the same attack, against that variant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import pytest

from callboard.contracts.access import Principal
from callboard.platform import egress
from callboard_authsvc.adapters.passwords import Passwords
from callboard_authsvc.upstream_oauth import finish
from callboard_authsvc.vault import sealing
from callboard_connectors.bridge.seal import Held, Seal
from callboard_connectors.discovery import domain as discovery
from callboard_connectors.tasks import seal as task_seal
from callboard_connectors.transports.commands import Command, Commands
from callboard_edge.auth import logins
from callboard_edge.mcp import endpoint, envelope, gate, modern
from callboard_router.catalogue import drift, schema
from tests.authsvc import test_authsvc_keys, test_sign_in
from tests.connectors import test_bridge_domain, test_task_ids
from tests.edge import test_envelope, test_gate, test_modern_rules
from tests.kernel import test_permissions
from tests.platform import test_egress
from tests.router import test_drift
from tests.support import signing_in
from tests.support.guarded import guarded
from tests.threats import attacks

Patch = pytest.MonkeyPatch
FAILS = (AssertionError, pytest.fail.Exception, attacks.Got)


def nothing(*given: Any, **more: Any) -> None:
    """In the place of a check."""


def must_fail(test: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(FAILS):
        test(*arguments)


async def must_fail_too(test: Callable[..., Awaitable[object]], *arguments: object) -> None:
    with pytest.raises(FAILS):
        await test(*arguments)


async def test_t2_without_the_look_at_what_a_token_opens(monkeypatch: Patch) -> None:
    monkeypatch.setattr(endpoint, "can", lambda *given: True)
    await attacks.enter_another_playbook()


async def test_t3_without_vetting_addresses(monkeypatch: Patch) -> None:
    monkeypatch.setattr(egress, "vetted", lambda host, found, allowed: list(found))
    await must_fail_too(test_egress.test_a_private_host_in_any_spelling_is_not_reached, "127.0.0.1")
    await must_fail_too(test_egress.test_a_name_is_resolved_once_and_what_it_means_a_moment_later_is_not_asked)
    await must_fail_too(test_egress.test_a_connection_of_a_transport_is_vetted_too)


def test_t4_without_the_principal_in_a_sealed_state(monkeypatch: Patch) -> None:
    strict = Seal.open

    def careless(seal: Seal, state: str, principal: str, digest: str, now: float) -> Held:
        return strict(seal, state, "principal", digest, now)

    monkeypatch.setattr(Seal, "open", careless)
    must_fail(test_bridge_domain.test_a_sealed_state_opens_for_its_principal_and_request_until_it_expires)


def test_t4_without_the_principal_in_a_task_id(monkeypatch: Patch) -> None:
    strict = task_seal.TaskSeal.open
    monkeypatch.setattr(
        task_seal.TaskSeal, "open", lambda seal, id, playbook, principal: strict(seal, id, playbook, "k1")
    )
    must_fail(test_task_ids.test_to_everybody_else_it_is_an_unknown_task)


def test_t5_without_the_check_of_the_page_or_of_the_csrf_text(monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(logins, "require_own_page", nothing)
        must_fail(attacks.ride_on_a_cookie)
    with monkeypatch.context() as patch:
        patch.setattr(logins.hmac, "compare_digest", lambda given, wanted: True)
        must_fail(attacks.ride_on_a_cookie)


async def test_t6_without_the_comparison_of_browser_and_person(monkeypatch: Patch) -> None:
    monkeypatch.setattr(finish, "check_same_browser", nothing)
    for test in (
        test_sign_in.test_another_browser_cannot_finish_and_the_flow_is_over_then,
        test_sign_in.test_another_person_cannot_finish,
    ):
        async with guarded() as server:
            await must_fail_too(test, test_sign_in.Wiki(server))


async def test_t7_without_the_comparison_of_issuers(monkeypatch: Patch) -> None:
    monkeypatch.setattr(finish, "check_answer", nothing)
    async with guarded() as server:
        wiki = test_sign_in.Wiki(server)
        await must_fail_too(
            test_sign_in.test_an_answer_of_another_authorization_server_is_not_used, wiki, "https://evil.example"
        )


def test_t8_without_the_comparison_with_the_pinned_digest(monkeypatch: Patch) -> None:
    monkeypatch.setattr(drift, "same", lambda *given: True)
    with pytest.raises(ValueError, match="not enough values"):  # nothing was told of it
        test_drift.test_a_changed_description_is_held_and_told_with_both_texts()


@pytest.mark.parametrize("where", attacks.HIDING)
def test_t9_without_the_look_for_hidden_text(monkeypatch: Patch, where: str) -> None:
    monkeypatch.setattr(discovery, "hidden_message", nothing)
    must_fail(attacks.hide_text_in, where)


def test_t10_without_the_place_in_the_associated_data(monkeypatch: Patch) -> None:
    monkeypatch.setattr(sealing, "associated", lambda parts: b"")
    other = sealing.place_of_secret("other", "key", 1)
    must_fail(test_authsvc_keys.test_a_value_opens_in_its_own_place_only, other)


def test_t11_without_a_list_of_programs_variables_and_folders(monkeypatch: Patch) -> None:
    must_fail(attacks.run_any_program, Commands.parse("S", "", production=False))
    wide = attacks.LISTED.replace("cwd:/srv/*", "cwd:/*")
    must_fail(attacks.run_any_program, Commands.parse("S", wide, production=True))

    def only_known_ones(entry: Command, variables: Iterable[str], cwd: str | None) -> str:
        known = ("LD_PRELOAD", "PYTHONPATH", "path", "NODE_OPTIONS", "npm_config_registry")
        return "known" if set(variables) & set(known) else ""

    monkeypatch.setattr(Command, "fault", only_known_ones)
    with pytest.raises(attacks.Got, match="TZ"):
        attacks.run_any_program(Commands.parse("S", attacks.LISTED, production=True))


def test_t12_without_the_checks_of_host_and_origin(monkeypatch: Patch) -> None:
    for name, test in (
        ("host_allowed", lambda: test_gate.test_other_hosts_are_refused_on_loopback(b"evil.example.com")),
        ("origin_allowed", test_gate.test_only_our_own_pages_and_listed_ones_may_call_from_a_browser),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(gate.Gate, name, lambda gate, value: True)
            must_fail(test)


def test_t13_without_the_comparison_of_headers_and_body(monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(modern, "_check_name", nothing)
        must_fail(test_modern_rules.test_a_header_that_differs_or_stands_twice_is_a_mismatch)
    with monkeypatch.context() as patch:
        patch.setattr(modern, "_ROUTING", ())
        must_fail(test_modern_rules.test_a_header_that_differs_or_stands_twice_is_a_mismatch)
    twice = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}'
    with monkeypatch.context() as patch:
        patch.setattr(envelope, "_strict", nothing)
        must_fail(test_envelope.test_a_key_that_stands_twice_is_refused_at_every_depth, twice)


class _Never(Exception):
    """Nobody raises it."""


def test_t15_without_a_bound_on_depth(monkeypatch: Patch) -> None:
    deep = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}"
    monkeypatch.setattr(envelope, "RecursionError", _Never, raising=False)
    with pytest.raises(RecursionError):  # which ends as a 500
        test_envelope.test_what_is_not_one_message_is_refused_with_the_right_code(deep, -32700)


def test_t16_without_offline_schemas_and_without_a_bound_on_backtracking(monkeypatch: Patch) -> None:
    compiled = schema.jsonschema_rs.validator_for
    with monkeypatch.context() as patch:
        patch.setattr(schema.jsonschema_rs, "validator_for", lambda given, **more: compiled(given))
        must_fail(attacks.have_a_schema_fetched)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_BOUNDED", schema.jsonschema_rs.FancyRegexOptions(backtrack_limit=30_000_000))
        must_fail(attacks.make_a_pattern_slow)


async def test_t17_without_the_refusal_of_encodings(monkeypatch: Patch) -> None:
    joined = egress._joined
    monkeypatch.setattr(
        egress, "_joined", lambda headers: {k: v for k, v in joined(headers).items() if k != "content-encoding"}
    )
    await must_fail_too(test_egress.test_a_compressed_body_is_never_unpacked)


async def test_t19_without_work_for_nobody(monkeypatch: Patch) -> None:
    async def quick(passwords: Passwords, password: str, stored: str | None) -> bool:
        return stored is not None and passwords._verified(password, stored)

    monkeypatch.setattr(Passwords, "fits", quick)
    await must_fail_too(attacks.tell_accounts_apart, Passwords(), monkeypatch)


async def test_t20_without_the_lease_on_a_grant(monkeypatch: Patch) -> None:
    async def granted(*given: object) -> bool:
        return True

    monkeypatch.setattr(signing_in.Grants, "lease", granted)
    async with guarded() as server:
        await must_fail_too(attacks.refresh_at_once, test_sign_in.Wiki(server))


def test_t23_without_the_rights_of_the_member_behind_a_token(monkeypatch: Patch) -> None:
    strict = test_permissions.can

    def careless(principal: Principal, *given: Any) -> bool:
        return strict(msgspec.structs.replace(principal, grants=None), *given)

    monkeypatch.setattr(test_permissions, "can", careless)
    must_fail(test_permissions.test_a_token_may_what_its_scopes_and_its_member_both_may)
