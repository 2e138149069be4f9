"""When `apply --watch` takes a file for changed: whole, whatever an editor does to write it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

from callboard.cli.apply import settled


def looks(path: Path, *steps: Callable[[], object]) -> list[str]:
    """What the file held each time it was told to be settled; one step happens between two looks."""
    found: list[str] = []
    script = iter((*steps, *(lambda: None for _ in range(3))))

    class Over(Exception):
        pass

    def sleep(_: float) -> None:
        step = next(script, None)
        if step is None:
            raise Over
        step()

    with contextlib.suppress(Over):
        found.extend(path.read_text() for _ in settled(path, sleep))
    return [text for text, _ in itertools.groupby(found)]


def test_what_an_editor_has_half_written_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("one")
    write: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: file.write_text(""),
        lambda: file.write_text("tw"),
        lambda: file.write_text("two"),
    )
    assert looks(file, *write) == ["one", "two"]


def test_another_file_in_its_place_is_told_although_nobody_wrote_to_the_first(tmp_path: Path) -> None:
    file, other = tmp_path / "f.yaml", tmp_path / "f.yaml.swp"
    file.write_text("one")
    other.write_text("two")
    replace: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: file.rename(tmp_path / "f.yaml~"),
        lambda: None,
        lambda: other.rename(file),
    )
    assert looks(file, *replace) == ["one", "two"]


def test_a_file_that_nobody_touches_stays_the_same(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("one")
    signatures = list(itertools.islice(settled(file, lambda _: None), 5))
    assert len(set(signatures)) == 1
