"""The soak: it goes on after a failure, and keeps what failed so that one can read and repeat it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.fidelity import __main__ as soaking
from tests.fidelity import properties
from tests.fidelity.clients import Answer
from tests.fidelity.rig import Rig

pytestmark = [pytest.mark.xdist_group("fidelity"), pytest.mark.timeout(120)]


def shortening(got: Answer) -> Answer:
    return replace(got, notifications=got.notifications[:-1])


def test_a_soak_keeps_what_failed_and_goes_on(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = partial(properties.answers, change=shortening)
    monkeypatch.setattr(soaking, "ROUND", {"answers": (broken, 60), "requests": (properties.asked, 5)})
    assert soaking.soak(rig, 0, 7, tmp_path / "kept") == 1
    (file,) = (tmp_path / "kept").iterdir()
    text = file.read_text()
    assert file.name == "answers-7.txt"
    assert "--minutes 0 --seed 7" in text
    assert "notifications were said" in text
    assert "Script(frames=" in text
    printed = capsys.readouterr().out
    assert "FAILED answers, seed 7" in printed
    assert "1 failed" in printed
