"""Where an authorization code may be sent (OAuth 2.1 section 2.3, RFC 8252 section 7). Pure.

https anywhere; http to this very machine, whatever its port; of other schemes only whole URIs that are listed. What
two programs could read in two ways is refused, not interpreted.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_URI: Final = 2000
MAX_URIS: Final = 20
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
PRIVATE_URIS: Final = frozenset({"cursor://anysphere.cursor-mcp/oauth/callback"})
"""Redirect URIs of known programs under schemes of their own; PKCE covers what others on that machine may catch."""
_PLAIN: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_AUTHORITY: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")
_AMBIGUOUS: Final = re.compile(r"\\|%2e|%2f|%5c|/\.\.?(?:/|$)", re.IGNORECASE)


def fault_of(uri: str, private: Collection[str] = ()) -> str | None:
    """Why no code may ever be sent to this URI, as a clause; None when one may. `private`: more than `PRIVATE_URIS`."""
    if uri in PRIVATE_URIS or uri in private:
        return None
    if not 0 < len(uri) <= MAX_URI or _PLAIN.fullmatch(uri) is None:
        return "has to be of ASCII characters without spaces, and not endless"
    parts = _split(uri)
    if parts is None or not uri.lower().startswith(("https://", "http://")):
        return "has to be an https URL, or an http URL of this machine (127.0.0.1, [::1], localhost)"
    if "#" in uri:
        return "must have no fragment"
    if _AUTHORITY.fullmatch(parts.netloc) is None or not parts.hostname or not _is_host(parts.hostname):
        return "has to name a host in ASCII, without a user"
    if _AMBIGUOUS.search(parts.path) is not None:
        return "must have no dot segments or backslashes in its path, written in whatever way"
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        return "has to be https unless it is this machine's (127.0.0.1, [::1], localhost)"
    return None


def is_same(registered: str, asked: str) -> bool:
    """Whether the client that registered the one means the other: equal, or on loopback but for the port."""
    if registered == asked:
        return True
    left, right = _split(registered), _split(asked)
    # What is asked goes into a header: a parser leaves out line ends and a fragment, and they would not be missed.
    if left is None or right is None or not is_loopback(registered) or fault_of(asked) is not None:
        return False
    if not is_loopback(asked):
        return False
    return (left.hostname, left.path or "/", left.query) == (right.hostname, right.path or "/", right.query)


def is_loopback(uri: str) -> bool:
    """Whether a program on the person's own machine gets the code over http; any program there could."""
    parts = _split(uri)
    return parts is not None and parts.scheme == "http" and parts.hostname in LOOPBACK


def _split(uri: str) -> SplitResult | None:
    try:
        parts = urlsplit(uri)
        return parts if parts.port is None or 0 <= parts.port < 65536 else None
    except ValueError:
        return None


def _is_host(name: str) -> bool:
    """Whether every program takes this text for the same host: an address as it is usually written, or a name."""
    labels = name.split(".")
    if ":" in name or _NUMBER.fullmatch(labels[-1]) is not None:
        # Browsers take a name that ends in a number for an address, whatever its form (WHATWG URL section 3.5).
        try:
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return False
    return len(name) <= 253 and _HOST.fullmatch(name) is not None and all(map(_is_label, labels))


def _is_label(label: str) -> bool:
    """Whether a label that says that it stands for other letters really does (an A-label, RFC 5890)."""
    if label[2:4] != "--":
        return True
    try:
        meant = label.removeprefix("xn--").encode("ascii").decode("punycode")
        return label == f"xn--{meant.encode('punycode').decode()}" and meant.isprintable() and not meant.isascii()
    except UnicodeError:
        return False
