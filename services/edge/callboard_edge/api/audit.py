"""The log as evidence: verified, exported row by row, and anchored."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import get, post
from litestar.params import Parameter

from callboard.contracts import subjects
from callboard.contracts.audit import Anchor, AskLogRows, AuditVerdict, LogRows, SignAnchor, VerifyAudit
from callboard.contracts.management import WhichChain
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard_edge.api.caller import Caller
from callboard_edge.api.names import AS_STORED

VERIFY_SECONDS: Final = 120.0
_OF_ONE: Final = "/organisations/{organisation:str}/audit"


@post("/audit/verify", summary="Verify the hash chain", status_code=200)
async def verify_audit(bus: Bus, caller: Caller, data: WhichChain) -> AuditVerdict:
    """Recomputed from the stored rows, and compared with what anchors say."""
    if data.organisation:
        caller.require("event:read", data.organisation)
    else:
        caller.require_administrator()
        if data.witnesses:
            raise Problem("argument.invalid", "anchors are of one organisation: name it")
    question = VerifyAudit(organisation=data.organisation, witnesses=data.witnesses)
    return await bus.ask(subjects.VERIFY_AUDIT, question, AuditVerdict, within=VERIFY_SECONDS)


@get(_OF_ONE + "/rows", summary="Read the log as it was hashed", opt=AS_STORED)
async def log_rows(
    bus: Bus,
    caller: Caller,
    organisation: str,
    after: Annotated[int, Parameter(ge=0)] = 0,
    limit: Annotated[int, Parameter(ge=1, le=1000)] = 1000,
) -> LogRows:
    """Rows after `after`, and the head; ask again with the last `seq` until it is that of the head."""
    caller.require("event:read", organisation)
    question = AskLogRows(organisation=organisation, after=after, limit=limit)
    return await bus.ask(subjects.LOG_ROWS, question, LogRows)


@post(_OF_ONE + "/anchor", summary="Sign the head of the log", status_code=200)
async def anchor(bus: Bus, caller: Caller, organisation: str) -> Anchor:
    """To be kept elsewhere: verifying against it finds a log that was rewritten as a whole."""
    caller.require("event:read", organisation)
    return await bus.ask(subjects.SIGN_ANCHOR, SignAnchor(organisation=organisation), Anchor)


ROUTES = [verify_audit, log_rows, anchor]
