"""What happens through the API once everything answers: apply a file or the demo, issue the first token.

In a process of its own (`errands`), because the HTTP client costs memory that the supervisor need not keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from callboard.client import Callboard
from callboard.client.file import apply_file
from callboard.contracts.problems import Problem
from callboard.kernel.playbook_file import PlaybookFile, parse
from callboard.local import demo
from callboard.local.furnished import Furnished, FurnishOrder
from callboard.local.process import LocalServerError

Say = Callable[[str], None]


def carry_out(order: FurnishOrder, say: Say) -> Furnished:
    """Furnish, or find what there is; raises what the API refuses, and `LocalServerError` when it is not ours."""
    file = None if order.file is None else (order.file[0], parse(order.file[1], order.file[0]))
    with Callboard(order.url, order.token) as callboard:
        _must_be_ours(callboard, order.url)
        if order.first:
            return furnish(callboard, file, Path(order.repository), say)
        return refresh(callboard, file, say)


def _must_be_ours(callboard: Callboard, url: str) -> None:
    """Another installation may have taken the port after we looked, and answer in our place."""
    try:
        callboard.organisations()
    except Problem as problem:
        if problem.code != "auth.invalid":
            raise
        raise LocalServerError(
            f"another Callboard answers at {url}, with other tokens; choose another --port"
        ) from None


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
