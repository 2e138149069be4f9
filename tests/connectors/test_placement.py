"""Who owns a server when there are several workers, and what happens when one goes."""

from __future__ import annotations

import asyncio
import os
import signal

from callboard.contracts import subjects
from tests.connectors.rig import ORG, Rig
from tests.connectors.test_stdio_calls import is_gone
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually, promised


async def test_each_server_has_one_owner_and_both_workers_own_some(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.room()
        await rig.room()
        for number in range(16):
            await rig.register(f"s{number}", url=upstream.url)

        async def owners() -> dict[str, list[str]] | None:
            found: dict[str, list[str]] = {}
            for status in await rig.statuses():
                for line in status.servers:
                    if line.owner:
                        found.setdefault(line.server, []).append(status.instance)
            return found if len(found) == 16 else None

        found = await eventually(owners)
        assert found is not None
        assert all(len(names) == 1 for names in found.values())
        assert {names[0] for names in found.values()} == {"w1", "w2"}


async def test_http_calls_are_shared_and_a_child_has_one_owner(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.register_stdio("crash", "crash")
        await rig.room()
        await rig.room()
        await rig.online("echo")
        await rig.online("crash")
        answers = [await rig.call("echo", "echo", {"text": "x"}) for _ in range(30)]
        connectors = {(await rig.record_of(answer)).connector for answer in answers}
        assert connectors == {"w1", "w2"}
        pids = {(await rig.call("crash", "pid")).text for _ in range(10)}
        assert len(pids) == 1


async def test_a_killed_owner_is_replaced_within_two_seconds(rig: Rig) -> None:
    await rig.register_stdio("crash", "crash")
    workers = {name: await rig.worker(name) for name in ("w1", "w2")}
    before = await rig.online("crash")
    owner, _ = await _owner(rig, "crash")
    child = int((await rig.call("crash", "pid")).text)
    stuck = await rig.send("crash", "echo", {"text": "x"})
    await promised(stuck.done.is_set, within=5)
    os.kill(workers[owner].process.pid, signal.SIGKILL)
    await workers[owner].process.wait()
    await rig.place("crash")

    async def another() -> bool:
        found = await rig.owner("crash")
        return found is not None and found[0] != owner and found[1].state == "ONLINE"

    await promised(another, within=2)
    assert (await rig.status_of("crash")).generation > before.generation
    assert int((await rig.call("crash", "pid")).text) != child
    await eventually(lambda: is_gone(child))


async def _owner(rig: Rig, server: str):  # type: ignore[no-untyped-def]  # (instance, ServerStatus)
    found = await rig.owner(server)
    assert found is not None
    return found


async def test_a_stopped_worker_hands_its_servers_over(rig: Rig) -> None:
    await rig.register_stdio("crash", "crash")
    workers = {name: await rig.worker(name) for name in ("w1", "w2")}
    await rig.online("crash")
    owner, _ = await _owner(rig, "crash")
    await workers[owner].stop()

    async def another() -> bool:
        found = await rig.owner("crash")
        return found is not None and found[0] != owner and found[1].state == "ONLINE"

    await promised(another, within=3)
    assert (await rig.call("crash", "echo", {"text": "on"})).text == "on"


async def test_a_worker_whose_lease_was_taken_stops_the_child_and_takes_no_calls(rig: Rig) -> None:
    await rig.register_stdio("crash", "crash")
    await rig.room()
    await rig.online("crash")
    child = int((await rig.call("crash", "pid")).text)
    await rig.client.publish("$KV.CB_LEASES.acme.crash", b'{"worker":"another"}')
    await promised(lambda: is_gone(child), within=3)
    # "another" does not answer, so the lease is free again at once.
    await promised(lambda: _owned(rig, "crash"), within=5)
    assert int((await rig.call("crash", "pid", within=5)).text) != child


async def _owned(rig: Rig, server: str) -> bool:
    return await rig.owner(server) is not None


async def test_a_child_outlives_a_restart_of_the_bus(rig: Rig) -> None:
    await rig.register_stdio("crash", "crash")
    await rig.room()
    await rig.online("crash")
    child = (await rig.call("crash", "pid")).text
    rig.nats.kill()
    rig.nats.start()
    await asyncio.to_thread(rig.nats.wait_ready)
    await eventually(lambda: rig.client.is_connected)
    await rig.make_bucket()

    async def answers() -> bool:
        answer = await rig.send("crash", "pid", within=1)
        try:
            await asyncio.wait_for(answer.done.wait(), 1)
        except TimeoutError:
            return False
        return answer.text == child

    await eventually(answers)
    before = await _revision(rig)
    await eventually(lambda: _moved(rig, before))
    assert (await rig.call("crash", "pid")).text == child


async def _revision(rig: Rig) -> int:
    bucket = await rig.client.jetstream().key_value(subjects.BUCKET_LEASES)
    entry = await eventually(lambda: _entry(bucket))
    return int(entry.revision)


async def _entry(bucket):  # type: ignore[no-untyped-def]  # nats-py's KeyValue
    from nats.js.errors import KeyNotFoundError

    try:
        return await bucket.get(f"{ORG}.crash")
    except KeyNotFoundError:
        return None


async def _moved(rig: Rig, before: int) -> bool:
    return await _revision(rig) > before


async def test_a_worker_starts_before_the_bucket_is_there(rig: Rig) -> None:
    await rig.client.jetstream().delete_key_value(subjects.BUCKET_LEASES)
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        assert (await rig.call("echo", "echo", {"text": "anyway"})).text == "anyway"
        await rig.make_bucket()
        await rig.online("echo")
