"""What happens through the API once everything answers: apply a file or the demo, issue the first token.

Imported only then, because the HTTP client costs time that the start has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from callboard.client import Callboard
from callboard.client.file import apply_file
from callboard.kernel.playbook_file import PlaybookFile, parse
from callboard.local import demo

Say = Callable[[str], None]


class Furnished(NamedTuple):
    """What there is to connect to. `token` is empty when none was issued now."""

    organisation: str = ""
    playbook: str = ""
    token: str = ""


def furnish(callboard: Callboard, file: tuple[str, PlaybookFile] | None, repository: Path, say: Say) -> Furnished:
    """The first start: apply, then issue a token that may use what was made."""
    if file is None:
        servers = demo.installed_servers()
        if not servers:
            say("the demo needs mcp-server-time and mcp-server-git: install callboard[demo]; nothing was furnished")
            return Furnished()
        text = demo.demo_file(str(demo.demo_repository(repository)) if "git" in servers else "", servers)
        name, wanted, comment = demo.FILE_NAME, parse(text, demo.FILE_NAME), demo.COMMENT
    else:
        (name, wanted), comment = file, f"callboard up --file {file[0]}"
    say(f"applying {name}")
    apply_file(callboard, wanted, name, comment, say=say)
    playbook = next(iter(wanted.playbooks), "")
    limit = (playbook,) if playbook else ()
    issued = callboard.issue_token(wanted.organisation, demo.CLIENT, ("use",), limit)
    return Furnished(wanted.organisation, playbook, issued.token)


def refresh(callboard: Callboard, file: tuple[str, PlaybookFile] | None, say: Say) -> Furnished:
    """A later start: apply the file if one is given, and find what there is."""
    if file is not None:
        name, wanted = file
        applied = apply_file(callboard, wanted, name, f"callboard up --file {name}", say=say)
        say(f"{name}: {'applied' if applied.changed else 'nothing changed'}")
        return Furnished(wanted.organisation, next(iter(wanted.playbooks), ""))
    return next(_playbooks(callboard), Furnished())


def _playbooks(callboard: Callboard) -> Iterator[Furnished]:
    for line in callboard.organisations().organisations:
        for playbook in callboard.playbooks(line.organisation).playbooks:
            if not playbook.retired:
                yield Furnished(line.organisation, playbook.playbook)
