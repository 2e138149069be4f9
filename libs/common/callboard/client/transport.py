"""HTTP to one Callboard: one connection pool, typed answers, problems as `Problem`.

Above: `management` and `mcp`. Below: httpx2.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from callboard.contracts.problems import Problem, ProblemBody

Answer = TypeVar("Answer")

_PATIENCE_SECONDS: Final = 5.0
_PAUSES: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
_OURS: Final = frozenset({"type", "title", "status", "code", "detail", "hint"})


class Unreachable(Exception):
    """There is no Callboard where it was looked for; the text says where and why."""


class Transport:
    """Requests to `url` with the token. Close it, or use it as a context manager."""

    def __init__(self, url: str, token: str = "", *, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unreachable(f"{url!r} is not an http or https URL")
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=5.0),
            # A proxy of the environment cannot reach our own machine.
            trust_env=not _is_loopback(parts.hostname),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: msgspec.Struct | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """One request of the management API. Raises `Problem` or `Unreachable`."""
        return decoded(self.answer(method, path, body, query, headers, timeout), answer)

    def answer(
        self,
        method: str,
        path: str,
        body: msgspec.Struct | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> httpx2.Response:
        """The response to a request that was not refused.

        While a service restarts (503) it tries again for some seconds: reads are safe, and a change carries an
        idempotency key.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for pause in (*_PAUSES, None):
            response = self._send(method, path, body, query, headers, timeout)
            again = response.status_code == 503 and pause is not None and time.monotonic() + pause < deadline
            if not again:
                break
            time.sleep(pause or 0.0)
        if response.status_code >= 400:
            raise self.problem_of(response)
        return response

    def _send(
        self,
        method: str,
        path: str,
        body: msgspec.Struct | None,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        timeout: float | None,
    ) -> httpx2.Response:
        content = None if body is None else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json"} if content is not None else {}
        limit = httpx2.USE_CLIENT_DEFAULT if timeout is None else httpx2.Timeout(timeout, connect=5.0)
        try:
            return self._http.request(
                method, path, content=content, params=query, headers={**sent, **(headers or {})}, timeout=limit
            )
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None

    @contextmanager
    def stream(
        self, method: str, path: str, *, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        """A response whose body is read as it comes, without a time-out between its pieces."""
        limit = httpx2.Timeout(None, connect=5.0)
        try:
            with self._http.stream(method, path, content=content, headers=headers, timeout=limit) as response:
                yield response
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None

    def problem_of(self, response: httpx2.Response) -> Problem:
        """The problem document of a refused request; raises `Unreachable` when it is somebody else's error."""
        try:
            told = msgspec.json.decode(response.content, type=dict[str, Any])
            body = ProblemBody(
                code=told["code"],
                message=told["detail"],
                data={key: value for key, value in told.items() if key not in _OURS},
            )
        except (msgspec.DecodeError, KeyError):
            text = f"{response.url} answered {response.status_code}, and not like Callboard"
            raise Unreachable(text) from None
        return Problem.from_body(body)

    def _unreachable(self, error: httpx2.HTTPError) -> Unreachable:
        return Unreachable(f"{self.url} does not answer: {error or type(error).__name__}")


def decoded(response: httpx2.Response, answer: type[Answer]) -> Answer:
    """The body of a response; `Unreachable` when it is nothing of ours."""
    try:
        return msgspec.json.decode(response.content, type=answer)
    except msgspec.DecodeError as error:
        raise Unreachable(f"{response.url} did not answer like Callboard: {error}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
