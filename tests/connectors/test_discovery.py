"""What the router is told about the servers: whole, judged item by item, and only when it changed."""

from __future__ import annotations

import signal

import pytest

from callboard.contracts.playbooks import RecordCatalogue
from tests.connectors.rig import Rig
from tests.support.upstreams.launch import running
from tests.support.waiting import eventually


def of(rig: Rig, server: str) -> list[RecordCatalogue]:
    return [known for known in rig.catalogues if known.server == server]


@pytest.mark.parametrize("era", ["2025", "2026"])
async def test_every_page_is_recorded_once(rig: Rig, era: str) -> None:
    async with running("echo", "--era", era, "--tools", "30", "--page-size", "4") as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room(poll_seconds=0.2)
        status = await rig.online("echo")
        assert status.tools == 37
        (recorded,) = of(rig, "echo")
        assert [item.name for item in recorded.catalogue.tools][:3] == ["echo", "mark", "slow"]
        assert b'"readOnlyHint":true' in bytes(recorded.catalogue.tools[0].raw)
        assert recorded.catalogue.era == {"2025": "2025-11-25", "2026": "2026-07-28"}[era]
        assert b"echo" in bytes(recorded.catalogue.server_info)
        for _ in range(3):
            await rig.call("echo", "slow", {"seconds": 0.2})
        assert len(of(rig, "echo")) == 1


@pytest.mark.parametrize("era", ["2025", "2026"])
async def test_an_announced_change_is_recorded_over_http(rig: Rig, era: str) -> None:
    async with running("echo", "--era", era) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        await rig.online("echo")
        upstream.signal(signal.SIGUSR1)
        await eventually(lambda: len(of(rig, "echo")) == 2)
        assert of(rig, "echo")[-1].catalogue.tools[-1].name == "extra"
        assert of(rig, "echo")[0].digest != of(rig, "echo")[1].digest


@pytest.mark.parametrize("era", ["2025", "2026"])
@pytest.mark.parametrize("late", ["0.1", "0.8"])
async def test_a_change_before_the_stream_of_changes_is_open_is_found(rig: Rig, era: str, late: str) -> None:
    async with running("echo", "--era", era, "--late", late) as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        await eventually(lambda: of(rig, "echo") and of(rig, "echo")[-1].catalogue.tools[-1].name == "extra")


@pytest.mark.parametrize("era", ["2025", "2026"])
async def test_an_announced_change_is_recorded_over_stdio(rig: Rig, era: str) -> None:
    await rig.register_stdio("echo", "echo", "--stdio", "--era", era)
    room = await rig.room()
    await rig.online("echo")
    (child,) = _children(room)
    child.send_signal(signal.SIGUSR1)
    await eventually(lambda: len(of(rig, "echo")) == 2)
    assert of(rig, "echo")[-1].catalogue.tools[-1].name == "extra"


def _children(room: object):  # type: ignore[no-untyped-def]  # psutil has no annotations here
    import psutil

    # Others of this process may share an echo server over HTTP.
    ours = {"tests.support.upstreams.echo", "--stdio"}
    return [one for one in psutil.Process().children() if ours <= {*one.cmdline()}]


async def test_a_refused_record_is_sent_again(rig: Rig) -> None:
    rig.refusals = ["bus.unavailable"]
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url)
        await rig.room()
        await eventually(lambda: len(of(rig, "echo")) == 1)
        assert (await eventually(lambda: rig.status_of("echo"))).problem == ""


async def test_a_worker_that_starts_later_records_nothing_new(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.register("echo", url=upstream.url)
        first = await rig.room()
        await rig.online("echo")
        await first.stop()
        rig.rooms.remove(first)
        await rig.room(poll_seconds=0.1)
        await rig.online("echo")
        assert len(of(rig, "echo")) == 1


async def test_an_invalid_definition_spoils_only_itself_and_nothing_is_fetched(rig: Rig) -> None:
    async with running("faulty") as upstream:
        await rig.register("odd", url=upstream.at("/mode/invalid-schema"))
        await rig.room()
        status = await rig.online("odd")
        assert set(status.quarantined) == {"bad_type", "network_ref"}
        assert "never fetched" in status.quarantined["network_ref"]
        assert "not a valid JSON Schema" in status.quarantined["bad_type"]
        assert status.tools == 2
        assert (await rig.call("odd", "ping")).text == "pong"
        assert await _hits(upstream.at("/hits")) == {}


async def _hits(url: str) -> object:
    import httpx2

    async with httpx2.AsyncClient() as http:
        return (await http.get(url)).json()


async def test_a_list_that_fails_leaves_the_server_degraded_and_callable(rig: Rig) -> None:
    async with running("faulty") as upstream:
        await rig.register("odd", url=upstream.at("/mode/500/list"))
        await rig.room()

        async def degraded() -> bool:
            return (await rig.status_of("odd")).state == "DEGRADED"

        await eventually(degraded)
        status = await rig.status_of("odd")
        assert "HTTP 500" in status.problem
        assert (await rig.call("odd", "ping")).text == "pong"


@pytest.mark.parametrize("mode", ["garbage", "500", "endless", "hang", "endless-body"])
async def test_a_probe_of_a_bad_server_says_why(rig: Rig, mode: str) -> None:
    async with running("faulty") as upstream:
        await rig.room(connect_seconds=0.5, max_body_bytes=1 << 20)
        probed = await rig.probe(url=upstream.at(f"/mode/{mode}"))
        assert probed.catalogue is None
        assert "'new'" in probed.problem
        assert await rig.probe(url=upstream.at("/nothing-here")) != probed


async def test_a_probe_lists_what_is_not_registered(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.room()
        probed = await rig.probe(url=upstream.url)
        assert probed.catalogue is not None
        assert len(probed.catalogue.tools) == 7
        assert probed.problem == ""
        child = await rig.probe(command=("mcp-server-time",))
        assert child.catalogue is not None
        assert {item.name for item in child.catalogue.tools} == {"get_current_time", "convert_time"}
        assert rig.catalogues == []


async def test_the_registration_and_the_probe_agree_on_the_digest(rig: Rig) -> None:
    async with running("echo") as upstream:
        await rig.room()
        probed = await rig.probe(url=upstream.url)
        await rig.register("echo", url=upstream.url)
        await rig.online("echo")
        assert of(rig, "echo")[0].digest == probed.digest
