"""Try a definition apart from everything that runs: connect, list, disconnect."""

from __future__ import annotations

import asyncio

from callboard.contracts.upstreams import Probed, ProbeServer
from callboard_connectors.discovery.discover import Discovery
from callboard_connectors.discovery.domain import digest_of_catalogue
from callboard_connectors.sessions.domain import SessionKey
from callboard_connectors.sessions.open import FAILURES, SessionOpener, problem_of

PROBE_SECONDS = 15.0


async def probe(opener: SessionOpener, command: ProbeServer) -> Probed:
    """What the server offers, or why that could not be found out; bounded, and never an exception of theirs."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            session = await opener.open(SessionKey(command.organisation, command.server), command.definition)
            try:
                catalogue = await Discovery().look(session)
            finally:
                await session.close()
    except FAILURES as error:
        problem = problem_of(command.server, error)
        return Probed(server=command.server, problem=f"{problem.message}. {problem.hint}")
    return Probed(server=command.server, catalogue=catalogue, digest=digest_of_catalogue(catalogue))
