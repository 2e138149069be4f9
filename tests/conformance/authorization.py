"""Runs the third leg: the suite is a client of Callboard's authorization server, and a person lets it in.

The suite prints the URL for the person's browser and waits on loopback for the browser to come back.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import httpx2

from tests.conformance.suite import Report, SuiteBroken, outcome
from tests.conformance.suite import needed as needed_of
from tests.support import node_tools
from tests.support.oauth_clients import decided
from tests.support.persons import Person, Visitor
from tests.support.stack import Stack, free_ports
from tests.support.upstreams.launch import die_with_parent

LEG = "authorization"
_SECONDS = 60.0


async def run_authorization_suite(
    stack: Stack, person: Person, revision: str, resource: str = "", folder: Path | None = None
) -> Report:
    """Every scenario of a revision; with a `resource` the token is asked for that playbook. Files stay in `folder`."""
    command = await asyncio.to_thread(node_tools.conformance_suite)
    port = free_ports(1)
    client = await _registered(stack, f"http://127.0.0.1:{port}/callback")
    with tempfile.TemporaryDirectory(prefix="conformance-") as temporary:
        target = folder or Path(temporary)
        words = ["--url", stack.url, "--client-id", client, "--port", str(port), "--spec-version", revision]
        more = ["--resource", resource] if resource else []
        process = await asyncio.create_subprocess_exec(
            *command,
            "authorization",
            *words,
            *more,
            "-o",
            str(target),
            env=node_tools.node_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_parent(),
        )
        try:
            said = await asyncio.wait_for(_attended(process, person), _SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        counts = needed_of(revision, LEG)
        files = {_scenario(path, counts): path for path in target.glob("**/checks.json")}
        report = Report(tuple(outcome(name, True, count, files.get(name)) for name, count in counts.items()))
    if not any(each.ran for each in report.outcomes):
        raise SuiteBroken(said[-2000:])
    return report


async def _attended(process: asyncio.subprocess.Process, person: Person) -> str:
    """Read what the suite says; a URL in it is opened by the person, who agrees and comes back."""
    assert process.stdout is not None
    said = []
    async for line in process.stdout:
        said.append(text := line.decode(errors="replace").strip())
        if text.startswith("http://") and "code_challenge" in text:
            async with Visitor() as visitor:
                await visitor.get(await decided(visitor, person, text))
    await process.wait()
    return "\n".join(said)


async def _registered(stack: Stack, redirect_uri: str) -> str:
    async with httpx2.AsyncClient() as http:
        body = {"client_name": "The suite", "redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none"}
        answer = await http.post(f"{stack.url}/register", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["client_id"])


def _scenario(path: Path, known: dict[str, object]) -> str:
    return next((name for name in known if name in path.parent.name), path.parent.name)
