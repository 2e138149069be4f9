"""`make bench-auth`: what does it cost a call that its caller has to show a token?

    python -m bench.auth [--rounds 12] [--secs 2] [--conc 64] [--era 2026]

One Callboard, one upstream, three ways in, measured in turns: a playbook without tokens, one with a token that is
looked up (`cbk_`), one with an access token (a JWT of the client-credentials grant). Prints what each costs over the
first, in us of CPU per call, with a 95 % confidence interval from 10,000 resamples of the rounds: of the edge, which
is where tokens are looked at, and of everything.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import httpx2

from bench.gateways import say
from bench.measure import Length, Noise, sample
from bench.peers.callboard import callboard_up
from bench.peers.launch import answering, stop_like_ctrl_c
from bench.peers.peer import HTTP, Endpoint, Upstream
from bench.samples import Cell, Sample, machine, revision
from bench.upstream import echo_upstream
from tests.support.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
GOAL_US: Final = 40.0
ANONYMOUS, LOOKED_UP, ACCESS_TOKEN = "anonymous", "cbk_ token", "access token"
_WAYS: Final = (ANONYMOUS, LOOKED_UP, ACCESS_TOKEN)
_ORGANISATION: Final = "bench"
_RESAMPLES, _SEED = 10_000, 1


class Cost(NamedTuple):
    """Microseconds over the anonymous way, and where they lie with 95 % confidence."""

    us: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.us:+7.1f} us  (95 %: {self.low:+.1f} to {self.high:+.1f})"


def cost(base: Sequence[float], here: Sequence[float]) -> Cost:
    """The mean of the differences, round by round."""
    differences = [after - before for before, after in zip(base, here, strict=True)]
    drawn, count = random.Random(_SEED), len(differences)
    means = sorted(sum(drawn.choices(differences, k=count)) / count for _ in range(_RESAMPLES))
    middle = sum(differences) / count
    return Cost(middle, means[int(0.025 * _RESAMPLES)], means[int(0.975 * _RESAMPLES) - 1])


def _file(upstream: Upstream) -> str:
    servers = {"echo": {"names": "bare"}}
    content = {
        "version": 1,
        "organisation": _ORGANISATION,
        "servers": {"echo": {"url": upstream.url}},
        "playbooks": {"open": {"access": "anonymous", "servers": servers}, "closed": {"servers": servers}},
    }
    return json.dumps(content)


async def _access_token(stack: Stack, resource: str) -> str:
    """By the credentials of a service client, as a program gets one."""
    root = f"{stack.url}/api/v1/organisations/{_ORGANISATION}"
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {stack.admin_token}"}, timeout=30) as http:
        account = {"account": "bench", "role": "user"}
        (await http.post(f"{root}/service-accounts", json=account)).raise_for_status()
        made = (await http.post(f"{root}/oauth-clients", json={"account": "bench"})).raise_for_status().json()
    form = {"grant_type": "client_credentials", "resource": resource}
    async with httpx2.AsyncClient(timeout=30, auth=(made["client_id"], made["client_secret"])) as http:
        answer = (await http.post(f"{stack.url}/token", data=form)).raise_for_status()
    return str(answer.json()["access_token"])


@contextlib.asynccontextmanager
async def running(folder: Path, upstream: Upstream, era: str) -> AsyncIterator[dict[str, Endpoint]]:
    """The three ways into one Callboard."""
    folder.mkdir()
    async with callboard_up(folder) as stack:
        await stack.apply(_file(upstream), "benchmark")
        closed, pid = stack.endpoint(_ORGANISATION, "closed"), stack.process.pid
        tokens = {LOOKED_UP: await stack.token(_ORGANISATION), ACCESS_TOKEN: await _access_token(stack, closed)}
        ways = {ANONYMOUS: Endpoint(stack.endpoint(_ORGANISATION, "open"), pid)}
        for way, token in tokens.items():
            ways[way] = Endpoint(closed, pid, headers=(f"Authorization: Bearer {token}",))
        for endpoint in ways.values():
            await answering(endpoint, era, stack.process, folder)
        yield ways


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[Sample]]:
    """The samples of each way, round by round; which way comes first goes round too."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(echo_upstream(folder))
        ways = await stack.enter_async_context(running(folder / "callboard", upstream, options.era))
        taken: dict[str, list[Sample]] = {way: [] for way in _WAYS}
        noise, length = Noise(options.tries), Length(0.4, options.secs)
        for number in range(options.rounds + 1):  # the first round warms up
            turn = number % len(_WAYS)
            for way in _WAYS[turn:] + _WAYS[:turn]:
                cell = Cell(way, HTTP, options.era, options.conc)
                one = await sample(cell, ways[way], upstream.pid, length, noise)
                if number:
                    taken[way].append(one)
                say(f"round {number}/{options.rounds} {way}: {one.cpu_us:,.0f} us, edge {_edge(one):,.0f} us")
        return taken


def _edge(one: Sample) -> float:
    return sum(us for process, us in one.by_process.items() if "edge" in process)


def verdict(taken: dict[str, list[Sample]]) -> tuple[str, bool]:
    """What each way costs over the anonymous one, and whether that is more than the goal for certain."""
    reads: dict[str, Callable[[Sample], float]] = {"edge": _edge, "all": lambda one: one.cpu_us}
    lines, dear = [], False
    for what, read in reads.items():
        base = [read(one) for one in taken[ANONYMOUS]]
        lines.append(f"{what:<5} {ANONYMOUS:<13} {sum(base) / len(base):8.1f} us per call")
        for way in _WAYS[1:]:
            found = cost(base, [read(one) for one in taken[way]])
            lines.append(f"{what:<5} {way:<13} {found}")
            dear = dear or found.low > GOAL_US
    return "\n".join(lines), dear


def main(argv: Sequence[str] | None = None) -> None:
    """Print the costs; the exit code is 1 when one is over the goal for certain, or an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--secs", type=float, default=2.0)
    parser.add_argument("--conc", type=int, default=64)
    parser.add_argument("--era", default="2026")
    parser.add_argument("--tries", type=int, default=2)
    options = parser.parse_args(argv)
    stop_like_ctrl_c()
    try:
        with tempfile.TemporaryDirectory(prefix="cb-bench-") as name:
            print(f"{revision(ROOT)}, {options.era} over http at {options.conc}, goal {GOAL_US:.0f} us")
            taken = asyncio.run(measure(options, Path(name)))
    except KeyboardInterrupt:
        sys.exit(130)
    text, dear = verdict(taken)
    print(f"{text}\n{machine()}")
    sys.exit(1 if dear or any(one.errors for each in taken.values() for one in each) else 0)


if __name__ == "__main__":
    main()
