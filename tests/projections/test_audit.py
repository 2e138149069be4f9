"""The hash chain: an intact log verifies, and every change of it is found at its seq."""

from __future__ import annotations

import asyncio

import pytest

from callboard.contracts import subjects
from callboard.contracts.audit import AuditVerdict, ChainVerdict, VerifyAudit
from callboard.contracts.problems import Problem
from callboard.contracts.records import AskOrganisations, Organisations
from callboard_projections.audit.verify import verify
from tests.projections.stack import Log, Stack, published, registered, status_of
from tests.support.waiting import eventually

EVENTS = 12


async def verdict(log: Log, organisation: str = "acme") -> ChainVerdict:
    return (await verify(log.pool, organisation)).chains[0]


async def some_log(log: Log) -> None:
    for number in range(1, EVENTS // 2 + 1):
        await log.append("acme", published("start", number, "log"), comment=f"no {number} ☂")
        await log.append("acme", registered(f"s{number}"))


async def broken(log: Log) -> tuple[int | None, str]:
    found = await verdict(log)
    assert found.intact == (found.broken_at is None)
    return found.broken_at, found.reason.partition(":")[0]


async def test_an_intact_log_verifies_with_its_head(log: Log) -> None:
    await some_log(log)
    head = await log.pool.fetchval("select encode(hash, 'hex') from cb.log_head")

    assert await verdict(log) == ChainVerdict(organisation="acme", events=EVENTS, seq=EVENTS, head=head, intact=True)


async def test_a_log_of_several_batches_verifies_while_appends_go_on(log: Log) -> None:
    await log.append("acme", *(published("start", n, "log") for n in range(1, 1301)))
    stop = asyncio.Event()

    async def append() -> None:
        version = 0
        while not stop.is_set():
            version += 1
            await log.append("acme", published("other", version, "log"))

    appending = asyncio.create_task(append())
    verdicts = [await verdict(log) for _ in range(4)]
    stop.set()
    await appending

    assert all(one.intact for one in verdicts)
    assert [one.seq for one in verdicts] == sorted(one.seq for one in verdicts)
    assert verdicts[0].seq >= 1300


async def test_all_organisations_are_verified_each_by_itself(log: Log) -> None:
    for organisation in ("acme", "beta", "gamma"):
        await log.append(organisation, registered("git"), registered("time"))
    await log.tamper("update cb.event set meta = '{}' where organisation = 'beta' and seq = 2")

    answer = await verify(log.pool, "")

    assert [(chain.organisation, chain.intact, chain.broken_at) for chain in answer.chains] == [
        ("acme", True, None),
        ("beta", False, 2),
        ("gamma", True, None),
    ]
    assert not answer.intact


@pytest.mark.parametrize(
    "change",
    [
        "payload = replace(payload, 's', 't')",
        "meta = replace(meta, 'ann', 'bob')",
        "recorded_at = recorded_at + interval '1 microsecond'",
        "event_id = gen_random_uuid()",
        "command_id = gen_random_uuid()",
        "type = 'playbook.retired'",
        "schema_version = 2",
        "stream = stream || 'x'",
        "version = version + 100",
        "hash = sha256(hash)",
    ],
)
async def test_an_edit_of_any_field_is_found_at_its_seq(log: Log, change: str) -> None:
    await some_log(log)
    await log.pool.execute("create table saved as select * from cb.event")

    for seq in (1, 5, EVENTS):
        await log.tamper(f"update cb.event set {change} where seq = $1", seq)
        assert await broken(log) == (seq, "edited")
        await log.tamper("delete from cb.event where stream <> ''")
        await log.tamper("insert into cb.event select * from saved")

    assert (await verdict(log)).intact


async def test_an_event_with_another_predecessor_is_found(log: Log) -> None:
    await some_log(log)
    await log.tamper("update cb.event set prev_hash = sha256(prev_hash) where seq = 4")
    assert await broken(log) == (4, "reordered or replaced")


async def test_an_edit_with_a_recomputed_hash_is_found_at_the_event_after_it(log: Log) -> None:
    await some_log(log)
    await log.tamper("update cb.event set payload = '{}' where seq = 4")
    await log.tamper(
        "update cb.event set hash = cb.event_hash(prev_hash, organisation, seq, event_id, stream, version, type,"
        " schema_version, payload, meta, command_id, recorded_at) where seq = 4"
    )
    assert await broken(log) == (5, "reordered or replaced")


@pytest.mark.parametrize("seq", [1, 6])
async def test_a_deletion_is_found_where_it_was_made(log: Log, seq: int) -> None:
    await some_log(log)
    await log.tamper("delete from cb.event where seq = $1", seq)
    assert await broken(log) == (seq, "deleted")


async def test_two_events_that_changed_places_are_found_at_the_first(log: Log) -> None:
    await some_log(log)
    for old, new in ((4, 100), (5, 4), (100, 5)):
        await log.tamper("update cb.event set seq = $2 where seq = $1", old, new)
    assert await broken(log) == (4, "reordered or replaced")


async def test_a_cut_tail_is_found_at_the_first_missing_event(log: Log) -> None:
    await some_log(log)
    await log.tamper("delete from cb.event where seq > 9")
    assert await broken(log) == (10, "truncated")


async def test_a_cut_tail_with_a_matching_head_row_is_found_by_what_readers_had_seen(log: Log) -> None:
    await some_log(log)
    await log.pool.execute("insert into cb.cursor (consumer, organisation, seq) values ('relay', 'acme', 12)")
    await log.tamper("delete from cb.event where seq > 9")
    await log.pool.execute("update cb.log_head set seq = 9, hash = (select hash from cb.event where seq = 9)")
    assert await broken(log) == (10, "truncated")


async def test_a_whole_log_that_was_deleted_is_found(log: Log) -> None:
    await some_log(log)
    await log.tamper("delete from cb.event")
    assert await broken(log) == (1, "truncated")
    await log.pool.execute("delete from cb.log_head")
    assert (await broken(log))[0] == 1


async def test_a_head_row_that_was_set_back_or_changed_is_found(log: Log) -> None:
    await some_log(log)
    await log.pool.execute("update cb.log_head set hash = sha256(hash)")
    assert (await broken(log))[0] == EVENTS
    await log.pool.execute("update cb.log_head set seq = 9, hash = (select hash from cb.event where seq = 9)")
    assert (await broken(log))[0] == 10


async def test_a_stream_table_that_disagrees_with_the_log_is_found(log: Log) -> None:
    await some_log(log)
    await log.pool.execute("update cb.stream set version = 3 where stream = 'playbook-start'")
    found = await verdict(log)
    assert (found.broken_at, found.reason) == (EVENTS, "the stream table disagrees about playbook-start")


async def test_the_verdict_is_asked_for_on_the_bus_and_others_are_answered_meanwhile(stack: Stack) -> None:
    room = await stack.projections()
    await stack.log.append("acme", *(published("start", n, *"abcdefgh") for n in range(1, 6001)))
    await eventually(lambda: status_of(room, "relay").events == 6000)
    await stack.edge.ask(subjects.ORGANISATIONS, AskOrganisations(), Organisations)

    verifying = asyncio.create_task(
        stack.edge.ask(subjects.VERIFY_AUDIT, VerifyAudit(organisation="acme"), AuditVerdict)
    )
    answered = 0
    while not verifying.done():
        await stack.edge.ask(subjects.ORGANISATIONS, AskOrganisations(), Organisations, within=1)
        answered += 1

    assert (await verifying).intact
    assert answered > 1
    with pytest.raises(Problem) as refused:
        await stack.edge.ask(subjects.VERIFY_AUDIT, VerifyAudit(organisation="nobody"), AuditVerdict)
    assert refused.value.code == "organisation.unknown"
