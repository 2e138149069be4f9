"""The one way out: every connection that Callboard makes to a host that somebody named goes through here.

A name is resolved once, all its addresses are vetted (`kernel.addresses`), and the connection goes to a vetted address:
a name that means something else a moment later leads nowhere. TLS is for the name. No proxy of the environment is used.

Above: connectors (their transports keep connections and speak for themselves), authsvc (`fetch`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

import httpcore2
import msgspec

from callboard.kernel.addresses import PrivateHosts, is_public, vetted

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host name; raises OSError."""
Linked = TypeVar("Linked", bound=asyncio.BaseProtocol)
_FETCH_BYTES = 256 * 1024
_FETCH_SECONDS = 10.0


def private_hosts(setting: str, text: str, *, production: bool) -> PrivateHosts:
    """What a setting allows; raises ValueError naming the setting."""
    try:
        allowed = PrivateHosts.parse(text)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None
    if production and allowed.everything:
        raise ValueError(f"{setting}: `*` is for a machine of one's own; in production name hosts and networks")
    return allowed


class EgressRefused(Exception):
    """This destination is not allowed. The text is a sentence without its subject, and has no address in it."""


class FetchFailed(Exception):
    """There is no usable answer; the text says why, with nothing of the answer in it."""


class Fetched(msgspec.Struct, frozen=True):
    """A whole answer. Header names are lower case; the values of several headers of one name are joined by commas."""

    status: int
    headers: dict[str, str]
    body: bytes


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system finds them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]).partition("%")[0] for entry in found]


@cache
def tls() -> ssl.SSLContext:
    """How servers prove who they are: by the certificate authorities of this machine."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Egress:
    """Opens connections and fetches small documents, to public hosts and the private ones that are allowed."""

    def __init__(self, allowed: PrivateHosts, resolver: Resolve = resolve) -> None:
        self._allowed = allowed
        self._resolve = resolver

    async def addresses(self, host: str, port: int) -> list[str]:
        """The vetted addresses of a name; raises `EgressRefused`, or OSError when it is not known."""
        addresses = vetted(host, await self._resolve(host, port), self._allowed)
        if addresses is None:
            raise EgressRefused("its address is not public, and no administrator allowed it here")
        return addresses

    async def connect(
        self, protocol: Callable[[], Linked], host: str, port: int, secure: ssl.SSLContext | None
    ) -> Linked:
        """A connection to the first vetted address that takes it. Raises `EgressRefused`, OSError."""
        loop, failure = asyncio.get_running_loop(), OSError("no address")
        name = host if secure is not None else None
        for address in await self.addresses(host, port):
            try:
                return (await loop.create_connection(protocol, address, port, ssl=secure, server_hostname=name))[1]
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
        raise failure

    async def socket(self, host: str, port: int) -> socket.socket:
        """A connected socket, for a library that speaks its own protocol over it. Raises as `connect` does."""
        loop, failure = asyncio.get_running_loop(), OSError("no address")
        for address in await self.addresses(host, port):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connected = socket.socket(family, socket.SOCK_STREAM)
            connected.setblocking(False)
            try:
                await loop.sock_connect(connected, (address, port))
            except OSError as error:
                connected.close()
                failure = error
            except BaseException:
                connected.close()
                raise
            else:
                return connected
        raise failure

    async def fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        limit: int = _FETCH_BYTES,
        seconds: float = _FETCH_SECONDS,
    ) -> Fetched:
        """One request and its whole answer, of at most `limit` bytes, within `seconds`; redirects are not followed.

        https only; http is for private hosts that are allowed. Raises `EgressRefused`, `FetchFailed`.
        """
        try:
            async with asyncio.timeout(seconds):
                backend = _VettedBackend(await self.vet(url))
                return await _fetched(backend, method, url, {**_OWN, **(headers or {})}, body, limit)
        except TimeoutError:
            raise FetchFailed("did not answer in time") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
            raise FetchFailed(f"cannot be reached ({type(error).__name__})") from None

    async def vet(self, url: str) -> list[str]:
        """The addresses that a URL may be fetched from; raises `EgressRefused`, or OSError for an unknown name."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise EgressRefused("its URL is not valid") from None
        if parts.scheme not in ("https", "http") or not host or parts.username or parts.password:
            raise EgressRefused("its URL is not valid")
        addresses = await self.addresses(host, port or (443 if parts.scheme == "https" else 80))
        if parts.scheme == "http" and any(is_public(ip_address(address)) for address in addresses):
            raise EgressRefused("has an http URL, and only https is safe for what is sent there")
        return addresses


async def _fetched(
    backend: _VettedBackend, method: str, url: str, headers: dict[str, str], body: bytes, limit: int
) -> Fetched:
    async with (
        httpcore2.AsyncConnectionPool(tls(), network_backend=backend, max_connections=1) as pool,
        pool.stream(method, url, headers=list(headers.items()), content=body) as response,
    ):
        found = _joined(response.headers)
        if found.get("content-encoding", "identity") != "identity":
            raise FetchFailed("answered in an encoding that was not asked for")
        pieces, size = [], 0
        async for piece in response.aiter_stream():
            size += len(piece)
            if size > limit:
                raise FetchFailed(f"answered more than {limit} bytes")
            pieces.append(piece)
        return Fetched(response.status, found, b"".join(pieces))


_OWN = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "callboard"}


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


class _VettedBackend(httpcore2.AsyncNetworkBackend):
    """What httpcore connects through: to these addresses, whatever the name means by now, and to nothing but TCP."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = httpcore2.ConnectError("no address")
        for address in self._addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
