"""Runs the third leg: the suite is a client of Callboard's authorization server, and a person lets it in.

The suite prints the URL for the person's browser and waits on loopback for the browser to come back.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.conformance.configurations import AuthorizationSet
from tests.conformance.suite import Report, SuiteBroken, needed, outcome
from tests.support import node_tools
from tests.support.agents import one_server, published
from tests.support.oauth_clients import decided
from tests.support.persons import Person, Visitor, member
from tests.support.ports import free_ports
from tests.support.stack import Stack, running_stack
from tests.support.upstreams.launch import command, die_with_parent

_SECONDS = 60.0


@dataclass(frozen=True)
class Issuer:
    """A running Callboard, a person, and the URL of a playbook that the person may use."""

    stack: Stack
    person: Person
    resource: str


@asynccontextmanager
async def running_issuer(directory: Path) -> AsyncIterator[Issuer]:
    """Start one; `directory` must exist."""
    async with running_stack(directory / "data") as stack:
        organisation, _ = await published(stack, one_server({"command": command("echo", "--stdio")}))
        yield Issuer(stack, await member(stack, organisation), stack.endpoint(organisation, "p"))


async def run_authorization_suite(
    issuer: Issuer, one: AuthorizationSet, folder: Path | None = None, decision: str = "allow"
) -> Report:
    """Every scenario; the files stay in `folder`. Raises `SuiteBroken` when the suite itself does not run."""
    suite, port = await asyncio.to_thread(node_tools.conformance_suite), free_ports(1)
    client = await _registered(issuer.stack, f"http://127.0.0.1:{port}/callback")
    words = ["authorization", "--url", issuer.stack.url, "--client-id", client, "--port", str(port)]
    words += ["--spec-version", one.revision, *(["--resource", issuer.resource] if one.bound else [])]
    with tempfile.TemporaryDirectory(prefix="conformance-") as temporary:
        target = folder or Path(temporary)
        said = await asyncio.wait_for(_attended([*suite, *words, "-o", str(target)], issuer.person, decision), _SECONDS)
        counts = needed(one.revision, one.leg)
        files = {_scenario(path, counts): path for path in target.glob("**/checks.json")}
        report = Report(tuple(outcome(name, True, count, files.get(name)) for name, count in counts.items()))
    if not any(each.ran for each in report.outcomes):
        raise SuiteBroken(said[-2000:])
    return report


async def _attended(words: list[str], person: Person, decision: str) -> str:
    """Run it and read what it says; the URL in it is opened by the person, who decides and comes back."""
    process = await asyncio.create_subprocess_exec(
        *words,
        env=node_tools.node_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=die_with_parent(),
    )
    said = []
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            said.append(text := line.decode(errors="replace").strip())
            if text.startswith("http") and "code_challenge=" in text:
                async with Visitor() as visitor:
                    await visitor.get(await decided(visitor, person, text, decision))
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return "\n".join(said)


async def _registered(stack: Stack, redirect_uri: str) -> str:
    async with httpx2.AsyncClient() as http:
        body = {"client_name": "The suite", "redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none"}
        answer = await http.post(f"{stack.url}/register", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["client_id"])


def _scenario(path: Path, known: Iterable[str]) -> str:
    return next((name for name in known if name in path.parent.name), path.parent.name)
