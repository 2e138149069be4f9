"""Pure rules: eras, breaker, leases, the registry."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.contracts.definitions import Catalogue, SecretRef, ServerDefinition
from callboard.contracts.events import (
    Event,
    EventMeta,
    OrganisationCreated,
    Recorded,
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.vault_events import SecretStored
from callboard_connectors.placement.domain import MAX_DELAY_SECONDS, delay, is_dead, is_lost, sighted
from callboard_connectors.registry.domain import Registry, ServerKey, changes, evolve
from callboard_connectors.sessions.domain import (
    HTTP_BREAKER,
    PIPE_BREAKER,
    Incompatible,
    Opening,
    opening_of_initialize,
    verdict_of_discover,
    verdict_of_refusal,
)
from callboard_connectors.settings import ConnectorsSettings, inherited_environment, read
from callboard_connectors.transports.envelope import RpcRefused, answers, decode, messages_in

KEY = ServerKey("acme", "git")


def fold(*events: Event, organisation: str = "acme") -> Registry:
    registry: Registry = {}
    for seq, event in enumerate(events, 1):
        recorded = Recorded(
            organisation=organisation,
            seq=seq,
            event_id="",
            stream="",
            version=1,
            type="",
            schema_version=1,
            recorded_at=datetime.now(UTC),
            meta=EventMeta(actor="a"),
            event=event,
        )
        registry = evolve(registry, recorded)
    return registry


def registered(**definition: object) -> ServerRegistered:
    return ServerRegistered(server="git", definition=ServerDefinition(**definition))  # type: ignore[arg-type]


def test_the_registry_follows_the_log() -> None:
    once = fold(OrganisationCreated(organisation="acme"), registered(url="http://a"))
    assert once[KEY].definition.url == "http://a"
    catalogue = ServerCatalogueDiscovered(server="git", digest="d", catalogue=Catalogue(era="x"))
    more = fold(registered(url="http://a"), catalogue)
    assert (more[KEY].catalogue_digest, more[KEY].revision) == ("d", 1)
    again = fold(
        registered(url="http://a"), catalogue, ServerReconfigured(server="git", definition=ServerDefinition(url="b"))
    )
    assert (again[KEY].catalogue_digest, again[KEY].revision) == ("d", 3)
    assert fold(registered(url="http://a"), ServerRetired(server="git"), catalogue) == {}


def test_what_differs_is_started_replaced_and_stopped() -> None:
    before = fold(registered(url="http://a"))
    after = fold(registered(url="http://a"), ServerReconfigured(server="git", definition=ServerDefinition(url="b")))
    assert changes({}, before) == ([KEY], [], [])
    assert changes(before, before) == ([], [], [])
    assert changes(before, after) == ([], [KEY], [])
    assert changes(before, {}) == ([], [], [KEY])


def test_a_new_secret_connects_those_servers_anew_that_use_it() -> None:
    uses = registered(url="http://a", headers={"X": SecretRef(secret="key")})
    assert fold(uses, SecretStored(secret="key", version=2))[KEY].revision == 2
    assert fold(uses, SecretStored(secret="other", version=2))[KEY].revision == 1


def test_only_positive_evidence_makes_a_server_stateless() -> None:
    good = verdict_of_discover(b'{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}')
    assert isinstance(good, Opening)
    assert (good.era, bytes(good.capabilities)) == ("2026-07-28", b'{"tools":{}}')
    for other in (b'{"supportedVersions":["2025-11-25"]}', b"{}", b"[]", b'"x"', b'{"supportedVersions":"2026-07-28"}'):
        assert verdict_of_discover(other) == "handshake"


def refused(code: int, data: object = None) -> RpcRefused:
    return RpcRefused(json.dumps({"code": code, "message": "no", "data": data}).encode())


def test_a_refusal_leads_to_the_handshake_unless_no_version_is_shared() -> None:
    assert verdict_of_refusal(refused(-32601)) == "handshake"
    assert verdict_of_refusal(refused(-32022, {"supported": ["2025-06-18"]})) == "handshake"
    assert verdict_of_refusal(refused(-32022, "nonsense")) == "handshake"
    with pytest.raises(Incompatible):
        verdict_of_refusal(refused(-32022, {"supported": ["2027-01-01"]}))
    with pytest.raises(Incompatible):
        opening_of_initialize(b'{"protocolVersion":"1999-01-01"}')
    assert opening_of_initialize(b'{"protocolVersion":"2024-11-05"}').era == "2024-11-05"


def test_the_breaker_opens_after_five_failures_and_doubles_its_pause() -> None:
    breaker = HTTP_BREAKER
    for _ in range(4):
        breaker = breaker.failed(100.0)
        assert (breaker.open, breaker.pause(100.0)) == (False, 0.0)
    pauses = []
    for _ in range(6):
        breaker = breaker.failed(100.0)
        pauses.append(breaker.pause(100.0))
    assert breaker.open
    assert pauses == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert breaker.pause(200.0) == 0.0
    assert not breaker.succeeded().open


def test_a_child_is_started_again_with_growing_pauses() -> None:
    breaker, pauses = PIPE_BREAKER, []
    for _ in range(8):
        breaker = breaker.failed(0.0)
        pauses.append(round(breaker.pause(0.0), 1))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_lease_is_dead_when_its_revision_stood_still_for_four_seconds_here() -> None:
    first = sighted(None, "w1", 7, 100.0)
    assert sighted(first, "w1", 7, 103.0) is first
    assert not is_dead(first, 103.9)
    assert is_dead(first, 104.0)
    assert not is_dead(sighted(first, "w1", 8, 104.0), 104.0)


def test_an_owner_gives_up_sooner_when_it_is_connected() -> None:
    assert is_lost(100.0, True, 104.0)
    assert not is_lost(100.0, False, 104.0)
    assert is_lost(100.0, False, 112.0)


@given(st.text(), st.text())
def test_the_wait_for_a_free_lease_is_bounded_and_always_the_same(worker: str, server: str) -> None:
    assert 0 <= delay(worker, server) <= MAX_DELAY_SECONDS
    assert delay(worker, server) == delay(worker, server)


def test_two_workers_are_first_about_equally_often() -> None:
    first = sum(delay("w1", f"acme.s{n}") < delay("w2", f"acme.s{n}") for n in range(400))
    assert 150 < first < 250


def test_ids_are_matched_as_far_as_that_is_harmless() -> None:
    assert answers(decode(b'{"id":7,"result":{}}'), b"7")
    assert answers(decode(b'{"id":"7","result":{}}'), b"7")
    assert answers(decode(b'{"id":null,"error":{}}'), b"7")
    assert not answers(decode(b'{"id":8,"result":{}}'), b"7")
    assert not answers(decode(b'{"result":{}}'), b"7")


def test_a_body_may_hold_one_message_a_batch_or_lines() -> None:
    one = b'{"id":1,"result":{}}'
    assert len(list(messages_in(one))) == 1
    assert len(list(messages_in(b"[" + one + b"," + one + b"]"))) == 2
    assert len(list(messages_in(one + b"\n\n" + one + b"\n"))) == 2
    with pytest.raises(msgspec.DecodeError):
        list(messages_in(b"not json\nat all"))


def test_settings_have_defaults_and_bounds() -> None:
    assert read({}) == ConnectorsSettings()
    assert read({"CALLBOARD_CONNECTORS_ALLOW_STDIO": "no"}).allow_stdio is False
    for bad in ("POLL_SECONDS=0", "BULKHEAD=none", "MAX_BODY_BYTES=1", "UNKNOWN=1", "PRIVATE_UPSTREAMS=a/b"):
        name, _, value = bad.partition("=")
        with pytest.raises(Exception, match=f"CALLBOARD_CONNECTORS_{name}|settings of connectors"):
            read({f"CALLBOARD_CONNECTORS_{name}": value})


def test_production_takes_no_setting_that_is_for_a_machine_of_ones_own() -> None:
    with pytest.raises(Exception, match="PRIVATE_UPSTREAMS"):
        read({"CALLBOARD_PRODUCTION": "yes", "CALLBOARD_CONNECTORS_PRIVATE_UPSTREAMS": "*"})
    named = read({"CALLBOARD_PRODUCTION": "yes", "CALLBOARD_CONNECTORS_PRIVATE_UPSTREAMS": "wiki.internal"})
    assert named.production


def test_children_inherit_little() -> None:
    assert set(inherited_environment()) <= {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"}
