"""The only place where the edge turns a `Problem` into a wire error.

Above: the handlers of `api/` and `mcp/`, which raise. Below: `contracts.problems.CODES`, which decides.
The management API answers RFC 9457 problem details (`application/problem+json`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from callboard.contracts.problems import Problem

log = structlog.get_logger()

PROBLEM_JSON: Final = "application/problem+json"
_UNEXPECTED: Final = "something went wrong inside Callboard"


def api_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any exception of an API handler as problem details."""
    headers = error.headers if isinstance(error, HTTPException) and error.status_code < 500 else None
    return _details(*known_problem(request, error), headers)


def known_problem(request: Request[Any, Any, Any], error: Exception) -> tuple[Problem, int]:
    """Any exception as a problem, and the status; what was not expected tells nothing about itself."""
    if isinstance(error, Problem):
        return error, error.http_status
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _of_request(error), error.status_code
    if isinstance(error, RecursionError):
        return Problem("argument.invalid", "the body is nested too deeply"), 400
    log.error("api_failed", method=request.method, path=request.url.path, exc_info=error)
    return Problem("internal.unexpected", _UNEXPECTED), 500


def _details(problem: Problem, status: int, headers: dict[str, str] | None = None) -> Response[bytes]:
    body = {
        **problem.data,
        "type": f"urn:callboard:problem:{problem.code}",
        "title": problem.code.replace(".", ": ").replace("_", " "),
        "status": status,
        "code": problem.code,
        "detail": problem.message,
        "hint": problem.hint,
    }
    extra = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if "retry_after" in problem.data:
        extra["Retry-After"] = str(problem.data["retry_after"])
    content = msgspec.json.encode(body)
    return Response(content, status_code=status, media_type=PROBLEM_JSON, headers={**(headers or {}), **extra})


def _of_request(error: HTTPException) -> Problem:
    """Litestar's own refusals (routing, decoding, validation) under a code of ours."""
    if error.status_code == 413:
        return Problem("payload.too_large", "the body is too large")
    if error.status_code in (404, 405):
        return Problem("route.unknown", "there is no such method and path")
    faults = [fault for fault in error.extra if isinstance(fault, dict)] if isinstance(error.extra, list) else []
    if not faults:
        return Problem("argument.invalid", _sentence(error.detail))
    told = "; ".join(_fault(fault) for fault in faults)
    return Problem("argument.invalid", told, fields=[fault.get("key", "") for fault in faults])


def _fault(fault: dict[str, Any]) -> str:
    return f"{fault.get('key') or 'request'}: {fault.get('message', 'not valid')}"


def _sentence(detail: str) -> str:
    return detail or "the request is not valid"
