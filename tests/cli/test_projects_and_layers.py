"""Two things go by the name of a project: whoever groups a playbook is told which layer it has all the same."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from callboard.cli import members
from callboard.cli.output import Output
from callboard.contracts.definitions import PlaybookContent, PlaybookDefinition
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: str, named: str | None) -> str:
    """What `project assign` says; `named`: the definition's project, None for a playbook that is not there."""

    def version(organisation: str, playbook: str) -> Any:
        if named is None:
            raise Problem("playbook.unknown", f"there is no playbook {playbook!r}")
        return SimpleNamespace(content=PlaybookContent(definition=PlaybookDefinition(project=named)))

    @contextmanager
    def connect(args: Namespace) -> Iterator[Any]:
        yield SimpleNamespace(version=version, assign_playbook=lambda *_: Done(seq=3))

    monkeypatch.setattr(members, "connect", connect)
    assert members.assign_playbook(Namespace(playbook="acme/start", project=project), Output(False)) == 0
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("project", "named", "words"),
    [
        ("web", "web", ""),
        ("", "", ""),
        ("web", "shop", "its definition has `project: shop`, and that says which layer it gets"),
        ("web", "", "its definition has no `project:`"),
        ("", "shop", "`project: shop`"),
        ("web", None, "it is not published (yet): there is no playbook 'start'"),
    ],
)
def test_a_group_that_is_not_the_layers_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: str, named: str | None, words: str
) -> None:
    err = told(monkeypatch, capsys, project, named)
    assert err.startswith("acme/start belongs to")
    assert words in err
    assert err.count("\n") == (2 if words else 1)
