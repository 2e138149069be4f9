"""What the first start furnishes: organisation `demo` with playbook `start` over two real servers from PyPI.

`examples/demo.yaml` is the same as a file to read and change.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import callboard

ORGANISATION: Final = "demo"
PLAYBOOK: Final = "start"
CLIENT: Final = "demo"
COMMENT: Final = "The demo of the first start"
FILE_NAME: Final = "the built-in demo"

_HEAD: Final = """\
version: 1
organisation: demo

servers:
"""
_TIME: Final = """\
  time:
    description: Time and time zones
    command: [mcp-server-time, --local-timezone, UTC]
"""
_GIT: Final = """\
  git:
    description: A git repository
    command: [mcp-server-git, --repository, {repository}]
"""
_PLAYBOOK: Final = """\

playbooks:
  start:
    title: Time and history
    description: What time it is, and what happened in a git repository
    servers:
"""
_USES: Final = {
    "time": "      time: {}\n",
    # Only what reads: the repository may be somebody's work.
    "git": """\
      git:
        tools:
          allow: ["git_log", "git_show", "git_status", "git_diff*", "git_branch"]
""",
}
_PROMPT: Final = """\
    prompts:
      summary:
        description: Sum up the last commits
        arguments: [{name: count, required: true}]
        template: "Sum up the last {{count}} commits."
"""


def demo_file(repository: str, servers: tuple[str, ...] = ("time", "git")) -> str:
    """The text of the demo's file; `repository` is a path, quoted for YAML here."""
    quoted = '"' + repository.replace("\\", "\\\\").replace('"', '\\"') + '"'
    parts = [_HEAD]
    parts += [_TIME] if "time" in servers else []
    parts += [_GIT.format(repository=quoted)] if "git" in servers else []
    return "".join([*parts, _PLAYBOOK, *(_USES[name] for name in servers), _PROMPT])


def installed_servers() -> tuple[str, ...]:
    """Which of the demo's servers can run here; they are the extra `demo` of this project."""
    places = str(Path(sys.executable).parent)
    names = ("time", "git") if shutil.which("git") else ("time",)
    return tuple(n for n in names if shutil.which(f"mcp-server-{n}", path=places) or shutil.which(f"mcp-server-{n}"))


def demo_repository(own: Path) -> Path:
    """The checkout that Callboard runs from, else a repository made at `own`."""
    checkout = Path(callboard.__file__).resolve().parents[3]
    if _is_repository(checkout):
        return checkout
    if not _is_repository(own):
        _make_repository(own)
    return own


def _is_repository(path: Path) -> bool:
    # `rev-parse` also refuses a repository of another user, which the server would refuse too.
    return (path / ".git").exists() and _git(path, "rev-parse", "--verify", "HEAD").returncode == 0


def _make_repository(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    (path / "README.md").write_text("A repository for Callboard's demo.\n", encoding="utf-8")
    _git(path, "init", "--quiet", "--initial-branch", "main")
    _git(path, "add", "README.md")
    person = ("-c", "user.name=Callboard", "-c", "user.email=callboard@localhost")
    _git(path, *person, "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", "Begin")


def _git(path: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(path), *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
    )
