"""A body that does not come to its end is not waited for: on a real uvicorn with a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from litestar import Litestar, Router, post
from starlette.requests import Request
from starlette.responses import Response

from callboard_edge import timely
from callboard_edge.oauth.endpoint import endpoint
from callboard_edge.problems import api_problem
from tests.edge.test_stalled import ends, served

LATE = (
    b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
)


@post("/x")
async def taken(data: dict[str, Any]) -> dict[str, Any]:
    return data


def app(*middleware: Any) -> Litestar:
    router = Router("/", route_handlers=[taken], exception_handlers={Exception: api_problem})

    async def handled(request: Request) -> Response:
        return Response(await request.body())

    oauth = endpoint(("/token",), handled, ("POST",), shared=False)
    return Litestar([router, oauth], openapi_config=None, middleware=middleware)


async def test_a_body_that_is_late_ends_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timely, "BODY_SECONDS", 0.2)
    async with served(app(timely.Timely)) as port:
        heard = await ends(port, LATE, 5)
        assert b" 408 " in heard
        assert b"did not come in time" in heard
        assert b" 201 " in await ends(port, LATE + b'"a": 12}', 5)
        assert b" 408 " in await ends(port, LATE.replace(b"/x", b"/token"), 5)


async def test_without_it_the_body_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timely, "BODY_SECONDS", 0.2)
    async with served(app()) as port:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ends(port, LATE, 5), 0.8)
