"""Peers, each in an environment of its own, through uv and npm; made on first use and kept for the next run.

They are in `$XDG_CACHE_HOME/callboard-bench` (or ~/.cache), apart from this checkout, so that worktrees share them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.peer import Package
from tests.support.node_tools import node_environment

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 600.0
# A list of certificate authorities: nobody needs the very newest, and a registry that lags does not have it.
_OVERRIDES = "certifi\n"


class NotInstalled(Exception):
    """Why a package could not be installed."""


def cache_folder() -> Path:
    """Where environments of peers are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "callboard-bench"


def folder_of(package: Package) -> Path:
    """Another version or other extras are another folder."""
    digest = hashlib.sha256("\n".join(package.requirements).encode()).hexdigest()[:8]
    name = package.name.partition("[")[0]
    return cache_folder() / f"{package.registry}-{name}-{package.version}-{digest}"


def installed(package: Package) -> Path:
    """The folder with the package in it, installed now if it is not there; NotInstalled says why it is not."""
    folder = folder_of(package)
    if (folder / "installed").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if package.registry == "pypi":
            _from_pypi(package, folder)
        else:
            _from_npm(package, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / "installed").write_text("\n".join(package.requirements) + "\n")
    return folder


def _from_pypi(package: Package, folder: Path) -> None:
    uv = _run([str(ROOT / "bin" / "uv-path")]).strip()
    overrides = folder / "overrides.txt"
    overrides.write_text(_OVERRIDES)
    _run([uv, "venv", "--quiet", "--python", os.environ.get("PYTHON", "python3"), str(folder / "venv")])
    python = str(folder / "venv" / "bin" / "python")
    words = [uv, "pip", "install", "--quiet", "--python", python, "--override", str(overrides), *package.requirements]
    try:
        _run(words)
    except NotInstalled:  # where the machine has a certificate authority of its own, uv must be told so
        _run([*words[:3], "--system-certs", *words[3:]])


def _from_npm(package: Package, folder: Path) -> None:
    quiet = ["--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"]
    _run(["npm", "install", "--prefix", str(folder), *quiet, *package.requirements], node_environment())


def _run(words: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=ROOT
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NotInstalled(f"{Path(words[0]).name}: {problem}") from problem
    if done.returncode != 0:
        said = re.sub(r"https?://\S+", "(a URL)", " ".join((done.stderr or done.stdout).split()))
        raise NotInstalled(f"{Path(words[0]).name} ended with {done.returncode}: {said[:300]}")
    return done.stdout
