"""Runs the client leg: the suite starts the shim once for each scenario, and plays its server."""

from __future__ import annotations

import asyncio
import shlex
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.conformance.suite import Needed, Outcome, Report, needed, outcome, requirements, run_suite
from tests.support import node_tools
from tests.support.upstreams.launch import ROOT

SHIM = "tests.conformance.shim"
# Not scored by the suite: what the reference clients pass, the authorization of 2025-03-26, and extensions of it.
OLDEST = "2025-03-26"
BACK_COMPATIBLE = ("auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback")
EXTENSIONS = (
    "auth/client-credentials-basic",
    "auth/client-credentials-jwt",
    "auth/enterprise-managed-authorization",
    "auth/wif-jwt-bearer",
)
UNSCORED = {
    "2025-11-25": ("json-schema-2020-12-preservation", *BACK_COMPATIBLE),
    "2026-07-28": ("json-schema-2020-12-preservation", *EXTENSIONS),
}
_AT_ONCE = 2
_SCENARIO_SECONDS = 30.0


async def run_client_suite(
    revision: str, folder: Path | None = None, only: Iterable[str] = (), shim: str = SHIM
) -> Report:
    """Run the client scenarios of a revision (all, or `only` some), two at a time; the files stay in `folder`."""
    chosen = set(only)
    scored, counts = requirements(revision, "client"), needed(revision, "client")
    names = [name for name in (*scored, *UNSCORED[revision]) if not chosen or name in chosen]
    await asyncio.to_thread(node_tools.installed)
    places = asyncio.Semaphore(_AT_ONCE)

    async def run(name: str, target: Path) -> Outcome:
        async with places:
            return await _scenario(revision, name, name in scored, counts[name], target, shim)

    with tempfile.TemporaryDirectory(prefix="conformance-") as temporary:
        target = folder or Path(temporary)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(name, target / name.replace("/", "-"))) for name in names]
    return Report(tuple(task.result() for task in tasks))


async def _scenario(revision: str, name: str, scored: bool, count: Needed, target: Path, shim: str) -> Outcome:
    words = [
        "client",
        "--command",
        f"{shlex.quote(sys.executable)} -m {shim}",
        "--scenario",
        name,
        "--spec-version",
        OLDEST if name in BACK_COMPATIBLE else revision,
    ]
    limit = ["--force", "--timeout", str(int(_SCENARIO_SECONDS * 1000)), "-o", str(target)]
    command = [*node_tools.conformance_suite(), *words, *limit]
    said, code = await run_suite(command, _SCENARIO_SECONDS + 15, PYTHONPATH=str(ROOT))
    found = outcome(name, scored, count, max(target.glob("**/checks.json"), default=None))
    if code and not found.complaints:
        return replace(found, complaints=(f"the client failed: {said[-500:]}",))
    return found
