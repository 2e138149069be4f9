"""The one screen that `callboard up` prints when everything is ready."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from callboard.local.furnished import Furnished


def welcome(url: str, logs: Path, data_dir: str, furnished: Furnished, seconds: float) -> str:
    """The text: where to connect, with what, and what to look at next."""
    lines = [f"Callboard is ready at {url} ({seconds:.1f} s)", ""]
    if furnished.playbook:
        reference = f"{furnished.organisation}/{furnished.playbook}"
        lines += [*_connection(url, furnished, data_dir), "  Next:"]
        lines += [_command(data_dir, "status"), _command(data_dir, f"tools ls {reference}")]
        lines += [_command(data_dir, f"calls tail --org {furnished.organisation}")]
    else:
        lines += ["  Next:", _command(data_dir, 'apply -f examples/demo.yaml -m "why"')]
    lines += ["", f"  API docs   {url}/docs", f"  Logs       {logs}", "  Ctrl-C stops all of it.", ""]
    return "\n".join(lines)


def _connection(url: str, furnished: Furnished, data_dir: str) -> list[str]:
    endpoint = f"{url}/p/{furnished.organisation}/{furnished.playbook}/mcp"
    lines = [f"  MCP URL    {endpoint}", f"  or         {url}/mcp   (for any token: what it opens)"]
    if furnished.token:
        connect = (
            f'claude mcp add --transport http callboard {endpoint} --header "Authorization: Bearer {furnished.token}"'
        )
        return [
            *lines,
            f"  Token      {furnished.token}   (shown this once)",
            "",
            "  Claude Code:",
            f"    {connect}",
            "",
        ]
    issue = f"token issue NAME --org {furnished.organisation} --playbook {furnished.playbook}"
    return [*lines, "  A token for it:", _command(data_dir, issue), ""]


def _command(data_dir: str, words: str) -> str:
    """A line that can be copied: the command by its path when it is not on the PATH."""
    program = Path(sys.argv[0])
    name = "callboard" if shutil.which("callboard") else os.path.relpath(program)
    where = "" if data_dir == ".callboard" else f" --data-dir {shlex.quote(data_dir)}"
    return f"    {name} {words}{where}"
