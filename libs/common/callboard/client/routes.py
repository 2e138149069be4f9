"""What every part of the client stands on: the connection, requests with their answers, paths."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import msgspec

from callboard.client.transport import Transport
from callboard.contracts.playbooks import Done

Answer = TypeVar("Answer")
API: Final = "/api/v1"
SLOW_SECONDS: Final = 150.0
"""Applying and verifying may take the edge two minutes."""


class Routes:
    """A Callboard at `url`. Every request raises `Problem` when refused and `Unreachable` when nobody answers."""

    def __init__(self, url: str, token: str = "", *, timeout: float = 30.0) -> None:
        self._transport = Transport(url, token, timeout=timeout)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where this Callboard is."""
        return self._transport.url

    def _get(self, path: str, answer: type[Answer], query: Mapping[str, Any] | None = None) -> Answer:
        return self._transport.ask("GET", API + path, answer, query=query)

    def _post(self, path: str, body: msgspec.Struct, answer: type[Answer], timeout: float | None = None) -> Answer:
        return self._change("POST", path, answer, body, timeout=timeout)

    def _delete(self, path: str, **query: str) -> Done:
        return self._change("DELETE", path, Done, query=query)

    def _change(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        body: msgspec.Struct | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return self._transport.ask(method, API + path, answer, body=body, query=query, headers=headers, timeout=timeout)

    def _tail(self, path: str, item: type[Answer]) -> Iterator[Answer | None]:
        decode = msgspec.json.Decoder(item).decode
        with self._transport.stream("GET", API + path) as response:
            if response.status_code != 200:
                response.read()
                raise self._transport.problem_of(response)
            # An event of ours is always one line, so nothing has to be joined.
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield decode(line[6:])
                elif line == ": following":
                    yield None


def part_of(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")


def organisation_path(name: str) -> str:
    """The path of an organisation."""
    return f"/organisations/{part_of(name)}"


def playbook_path(organisation: str, name: str) -> str:
    """The path of a playbook."""
    return f"{organisation_path(organisation)}/playbooks/{part_of(name)}"
