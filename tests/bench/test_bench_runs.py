"""A run of the benchmark is kept as it grows, judged, and told as a table and a plot."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from bench import targets
from bench.documents import GATEWAYS, README, RESULTS, SHAPES, SPEED, put
from bench.field import Field
from bench.gateways import Rounds, arguments, published, write
from bench.measure import Length, Noise
from bench.pausing import Turns
from bench.peers.install import NotInstalled, cache_folder, folder_of, installed
from bench.peers.known import DIRECT, PEERS, chosen
from bench.peers.launch import NotStarted, as_typed
from bench.peers.peer import ERAS, KINDS, Endpoint, Package, Place, Upstream
from bench.revisions import interval
from bench.samples import Cell, Gateway, Run, Sample, Store, median, spread
from bench.table import ratio, readme, report
from tests.support.upstreams.launch import running


@pytest.fixture(autouse=True)
def nobody_waits_for_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure._QUIET_SECONDS", 0.0)


def taken(gateway: str, rate: float, conc: int = 64, era: str = "2026", noisy: bool = False) -> Sample:
    cell = Cell(gateway, "http", era, conc)
    numbers = {"p50_ms": 15.0, "p95_ms": 20.0, "p99_ms": 30.0, "cpu_us": 1e6 / rate}
    return Sample(cell, 0, 1.5, int(rate), 0, rate, **numbers, upstream_us=20.0, load_us=10.0, noisy=noisy)


def run_of(*samples: Sample) -> Run:
    gateways = {
        "direct": Gateway("direct", ""),
        "Callboard": Gateway("Callboard", "everything on", full=True),
        "Slow <gateway>": Gateway("Slow <gateway>", "as documented", "1.2", True, not_measured={"2026": "too `old`"}),
        "bridge": Gateway("bridge", "no rules", "3"),
    }
    return Run("a machine", "abc", {"conc": "64"}, "today", gateways, list(samples))


EXAMPLE = run_of(
    taken("direct", 50_000),
    taken("Callboard", 4_000),
    taken("Callboard", 4_400),
    taken("Callboard", 9_000),
    taken("Slow <gateway>", 400),
    taken("bridge", 3_000),
)


def test_a_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "results.json")
    store.save(EXAMPLE)
    assert store.load() == EXAMPLE


def test_only_an_unfinished_run_of_the_same_code_with_the_same_options_is_gone_on_with(tmp_path: Path) -> None:
    store, fresh = Store(tmp_path / "results.json"), Run("a machine", "abc", {"conc": "64"}, "now")
    assert store.resumed(fresh) is fresh
    store.save(EXAMPLE)
    assert store.resumed(fresh) == EXAMPLE
    for other in (
        msgspec.structs.replace(fresh, revision="def"),
        msgspec.structs.replace(fresh, options={"conc": "1"}),
    ):
        assert store.resumed(other) is other
    store.save(msgspec.structs.replace(EXAMPLE, finished=True))
    assert store.resumed(fresh) is fresh


def test_half_a_file_is_no_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.json")
    store.save(EXAMPLE)
    store.file.write_text(store.file.read_text()[:100])
    assert store.load() is None


def test_the_ratio_is_to_the_fastest_other_full_gateway_by_medians() -> None:
    assert ratio(EXAMPLE, "http", "2026") == (11.0, "Slow <gateway>")
    assert ratio(EXAMPLE, "stdio", "2026") is None


def test_the_table_says_everything_that_was_and_was_not_measured() -> None:
    text = report(EXAMPLE)
    assert "| **Callboard** | 2026-07-28 | HTTP | 4,400 |" in text
    assert "11.0 times the calls/s of Slow <gateway>" in text
    assert "- Slow <gateway>, 2026-07-28: too 'old'" in text
    assert "The run is not finished" in text
    assert "the load generator costs 10 us" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {4, 10, 13}


def test_full_gateways_stand_before_bridges_and_the_fastest_first() -> None:
    text = report(EXAMPLE)
    places = [text.index(f"| {name}") for name in ("direct", "**Callboard**", "Slow <gateway> 1.2", "bridge 3")]
    assert places == sorted(places)


def test_the_plot_is_svg_with_a_bar_for_every_gateway(tmp_path: Path) -> None:
    write(EXAMPLE, tmp_path)
    root = ElementTree.fromstring((tmp_path / "plot.svg").read_text())
    bars = {bar.get("class"): float(bar.get("width", "")) for bar in root.iter("{http://www.w3.org/2000/svg}rect")}
    assert set(bars) == {"c", "g", "b"}
    assert bars["c"] > bars["b"] > bars["g"]
    assert bars["c"] / bars["g"] == pytest.approx(11, rel=0.01)


def test_an_empty_run_has_a_table_and_a_plot(tmp_path: Path) -> None:
    write(Run("a machine", "", {}, "now"), tmp_path)
    assert ElementTree.fromstring((tmp_path / "plot.svg").read_text()).tag.endswith("svg")


def test_spread_and_median_are_over_the_rounds() -> None:
    mine = EXAMPLE.of(Cell("Callboard", "http", "2026", 64))
    assert median(mine, "calls_per_s") == 4400
    assert spread(mine) == pytest.approx(5000 / 4400)


def test_nothing_is_repeated_where_the_machine_is_never_quiet() -> None:
    noise = Noise(3)
    for _ in range(4):
        noise.judge(taken("direct", 100, noisy=True))
    assert noise.tries == 3
    noise.judge(taken("direct", 100, noisy=True))
    assert (noise.hopeless, noise.tries) == (True, 1)
    noise.judge(taken("direct", 100))
    assert noise.tries == 3


@pytest.mark.parametrize(
    ("conc", "rate", "length"),
    [(1, 0.0, (0.3, 1.5)), (64, 6400.0, (0.3, 1.5)), (64, 24.0, (2.67, 4.0)), (256, 24.0, (6.0, 10.0))],
)
def test_a_sample_is_as_long_as_its_queue(conc: int, rate: float, length: tuple[float, float]) -> None:
    found = Length.for_rate(conc, rate, 1.5)
    assert (round(found.warmup, 2), round(found.secs, 2)) == length


def test_a_difference_is_seen_when_it_is_there_and_not_when_it_is_chance() -> None:
    base = [200.0 + wobble for wobble in (-6, 3, 5, -2, 0, 4, -5, 1)]
    dearer = interval(base, [1.1 * value for value in base])
    assert dearer.seen
    assert dearer.low == pytest.approx(0.1)
    same = interval(base, base[1:] + base[:1])
    assert same.low < 0 < same.high
    assert not same.seen
    assert "no difference seen" in str(same)


def test_what_a_peer_lacks_is_told_and_never_both_measured_and_excused() -> None:
    for peer in PEERS:
        assert set(peer.lacks) <= {*KINDS, *ERAS}
        assert [kind for kinds in peer.kinds() for kind in kinds] == [kind for kind in KINDS if kind not in peer.lacks]


def test_versions_of_peers_are_pinned() -> None:
    packages = [peer.package for peer in PEERS if peer.package]
    assert packages
    assert all(package.version[0].isdigit() for package in packages)


def test_peers_are_chosen_by_words_and_the_direct_path_is_always_there() -> None:
    assert chosen([]) == list(PEERS)
    assert [peer.name for peer in chosen(["callboard"])] == ["direct", "Callboard"]


def test_another_version_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    package = Package("pypi", "thing[all]", "1.0")
    assert folder_of(package).parent == cache_folder() == tmp_path / "callboard-bench"
    others = [dataclasses.replace(package, version="1.1"), dataclasses.replace(package, extra=("more",))]
    assert len({folder_of(one) for one in (package, *others)}) == 3


def test_a_package_that_cannot_be_installed_leaves_a_reason_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no npm there
    package = Package("npm", "thing", "1.0")
    with pytest.raises(NotInstalled, match="npm"):
        installed(dataclasses.replace(package, version="not a version"))
    assert list((tmp_path / "callboard-bench").iterdir()) == []


@contextlib.asynccontextmanager
async def never(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
    raise NotStarted("it has gone")
    yield {}


async def test_a_gateway_that_does_not_answer_is_told_and_not_measured(tmp_path: Path) -> None:
    async with running("echo", "--era", "2025") as upstream:
        run = Run("a machine", "", {}, "now")
        async with contextlib.AsyncExitStack() as stack:
            turns = stack.enter_context(Turns())
            field = Field(run, tmp_path, Upstream(upstream.url, (), upstream.pid), ERAS, KINDS, turns)
            await field.enter(DIRECT, stack)
            await field.enter(dataclasses.replace(DIRECT, name="gone", start=never), stack)
    assert field.able(DIRECT, "http", "2025")
    assert not field.able(DIRECT, "http", "2026")
    assert "http 2026" in run.gateways["direct"].not_measured
    assert run.gateways["gone"].not_measured["http"] == "it has gone"
    assert not field.able(dataclasses.replace(DIRECT, name="gone"), "http", "2025")


async def test_a_run_goes_on_with_what_is_missing_and_takes_what_is_slow_only_once(tmp_path: Path) -> None:
    slow = dataclasses.replace(DIRECT, name="slow")
    run = run_of(taken("direct", 9000, 2), taken("slow", 1.5, 2), taken("direct", 9000, 2))
    run.gateways["slow"] = Gateway("slow", "")
    options = argparse.Namespace(secs=0.2, rounds=3, conc="2", era="2026", kind="http", tries=1)
    store = Store(tmp_path / "results.json")
    async with running("echo") as upstream, contextlib.AsyncExitStack() as stack:
        turns = stack.enter_context(Turns())
        field = Field(run, tmp_path, Upstream(upstream.url, (), upstream.pid), ["2026"], ["http"], turns)
        for peer in (DIRECT, slow):
            await field.enter(peer, stack)
        rounds = Rounds(field, [DIRECT, slow], options, store)
        assert [cell.gateway for cell in rounds.cells()] == ["direct", "slow"]
        await rounds.take(upstream.pid)
    kept = store.load()
    assert kept is not None
    last = kept.samples[-1]
    assert [sample.cell.gateway for sample in kept.samples[:4]] == ["direct", "slow", "direct", "direct"]
    assert last.calls > 50
    assert (last.errors, round(last.secs, 2)) == (0, 0.2)
    assert last.upstream_us > 0
    assert last.load_us > 0


async def test_half_load_is_half_of_what_each_made_and_for_the_direct_path_half_of_callboards(tmp_path: Path) -> None:
    names = ("direct", "Callboard", "other", "slow")
    run = run_of(*(taken(name, rate) for name, rate in zip(names, (9000, 400, 600, 15), strict=True)))
    run.gateways |= {name: Gateway(name, "") for name in ("other", "slow")}
    peers = [DIRECT, *(dataclasses.replace(DIRECT, name=name) for name in names[1:])]
    options = argparse.Namespace(secs=0.2, rounds=2, conc="64", era="2026", kind="http", tries=1)
    async with running("echo") as upstream, contextlib.AsyncExitStack() as stack:
        turns = stack.enter_context(Turns())
        field = Field(run, tmp_path, Upstream(upstream.url, (), upstream.pid), ["2026"], ["http"], turns)
        for peer in peers:
            await field.enter(peer, stack)
        # A second sample of full load for each: only half load is still to be taken.
        run.samples += [*run.samples]
        await Rounds(field, peers, options, Store(tmp_path / "results.json")).take(upstream.pid)
    halves = [sample for sample in run.samples if sample.cell.half]
    assert [sample.cell.gateway for sample in halves] == ["direct", "Callboard", "other", "direct", "Callboard"]
    for sample, due, secs in zip(halves, (200, 200, 300, 200, 200), (0.6, 0.6, 1.0, 0.6, 0.6), strict=True):
        assert (sample.errors, sample.due, round(sample.secs, 1)) == (0, due, secs)
        assert 0.8 * due < sample.calls_per_s < 1.2 * due
        assert sample.cell not in run.cells()
    text = report(run)
    assert text.count("| 200 | ") == 2
    assert "Left out, because half load is too few calls for a p99: slow (2026-07-28, HTTP)." in text


def figures_of(rate: float, cpu_us: float, p99_ms: float, mib: float) -> Run:
    """A run in which Callboard and the others were so."""
    full, half = (
        msgspec.structs.replace(
            taken("Callboard", rate), cpu_us=cpu_us, cell=Cell("Callboard", "http", "2026", 64, half=half)
        )
        for half in (False, True)
    )
    half = msgspec.structs.replace(half, p50_ms=2.0, p99_ms=p99_ms)
    direct = msgspec.structs.replace(half, p50_ms=0.1, p99_ms=0.45, cell=Cell("direct", "http", "2026", 64, half=True))
    run = run_of(taken("direct", 50_000), full, half, direct, taken("Slow <gateway>", 400))
    run.gateways["Callboard"].memory_mib = {"http": mib}
    run.gateways["Callboard"].warm_s = {"http": 2.0}
    return run


def test_what_was_to_be_reached_stands_beside_what_was_seen() -> None:
    good, bad = targets.table(figures_of(8800, 200, 5.0, 400)), targets.table(figures_of(3900, 310, 6.2, 460))
    for line in ("| 200 us: met |", "| 8,800: met, stretch too |", "| 2.5 times: met |", "| 400.0 MiB: met |"):
        assert line in good
    assert "| 22.0 times: met |" in good
    assert "missed" not in good
    for line in ("| 310 us: **missed** |", "| 3,900: **missed** |", "| 3.1 times: **missed** |"):
        assert line in bad
    assert "| 460.0 MiB: **missed** |" in bad
    assert "| 2.00, 6.20 |" in bad
    assert "as Callboard over HTTP, ms |  | 0.10, 0.45 (4.5 times) |" in bad
    assert "Half load: constant arrivals" in good
    assert "| 9.8 times: **missed** |" in bad
    assert "p50 added at one in flight | <= 0.90 ms (stretch 0.50 ms) | not measured |" in bad
    assert targets.table(Run("a machine", "", {}, "now")) == ""


@pytest.mark.parametrize(
    ("reached", "shown"),
    [
        (2850.0, "| 2.5 times: met |"),
        (2840.0, "| 2.5 times, only 94.7 % of the calls/s due: **missed** |"),
        (0.0, "| only 0.0 % of the calls/s due: **missed** |"),
    ],
)
def test_a_good_tail_is_a_miss_where_fewer_calls_were_answered_than_due(reached: float, shown: str) -> None:
    run = figures_of(8800, 200, 5.0, 400)
    half = run.of(Cell("Callboard", "http", "2026", 64, half=True))[0]
    half.due, half.calls_per_s, half.calls = 3000.0, reached, int(reached)
    assert shown in targets.table(run)


def test_a_run_replaces_its_block_of_a_document_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    file.write_text("before\n<!-- bench: begin a -->\nold\n<!-- bench: end a -->\nafter\n")
    put(file, "a", "| new |\n")
    put(file, "a", "| newer |\n")
    assert file.read_text() == "before\n<!-- bench: begin a -->\n| newer |\n<!-- bench: end a -->\nafter\n"
    with pytest.raises(ValueError, match="begin b"):
        put(file, "b", "x")


def test_the_documents_have_the_marks_that_runs_look_for(tmp_path: Path) -> None:
    for document, name in ((RESULTS, GATEWAYS), (RESULTS, SHAPES), (README, SPEED)):
        copy = tmp_path / document.name
        copy.write_text(document.read_text())
        put(copy, name, "fresh")
        assert "\nfresh\n" in copy.read_text()


def test_only_a_whole_run_is_published_unless_one_says_where() -> None:
    assert published(arguments([])) == RESULTS
    assert published(arguments(["--shapes", "--tries", "1"])) == RESULTS
    assert published(arguments(["--only", "fastmcp"])) is None
    assert published(arguments(["--quick", "--results", "x.md"])) == Path("x.md")


def test_the_readme_shows_full_gateways_with_the_fastest_first_and_no_bridges() -> None:
    text = readme(EXAMPLE)
    assert "| **Callboard** | 4,400 | 227 us | - | - |" in text
    assert text.index("none (the echo") < text.index("**Callboard**") < text.index("Slow <gateway> 1.2")
    assert "bridge" not in text
    assert "11.0 times" in text


def test_what_was_typed_is_told_without_secrets(tmp_path: Path) -> None:
    text = as_typed(["run", "a b"], {"JWT_SECRET_KEY": "abc", "TOKEN_LOGGING": "false", "PORT": "1"})
    assert text == "JWT_SECRET_KEY=… TOKEN_LOGGING=false PORT=1 run 'a b'"


async def test_who_does_not_wake_up_is_told_and_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.field._AWAKE_SECONDS", 0.0)
    monkeypatch.setattr("bench.field._ASK_SECONDS", 0.2)
    run = Run("a machine", "", {}, "now")
    options = argparse.Namespace(secs=0.1, rounds=2, conc="1", era="2026", kind="http", tries=1)
    async with running("echo") as upstream, running("echo") as other, contextlib.AsyncExitStack() as stack:
        turns = stack.enter_context(Turns())

        @contextlib.asynccontextmanager
        async def mortal(place: Place, kinds: Sequence[str]) -> AsyncIterator[dict[str, Endpoint]]:
            yield {"http": Endpoint(other.url, other.pid)}

        peers = [DIRECT, dataclasses.replace(DIRECT, name="mortal", start=mortal)]
        field = Field(run, tmp_path, Upstream(upstream.url, (), upstream.pid), ["2026"], ["http"], turns)
        for peer in peers:
            await field.enter(peer, stack)
        turns.only(0)
        other.signal(signal.SIGKILL)
        await Rounds(field, peers, options, Store(tmp_path / "results.json")).take(upstream.pid)
    assert [sample.cell.gateway for sample in run.samples] == ["direct", "direct"]
    assert "after it had been stopped" in run.gateways["mortal"].not_measured["http 2026"]
