"""A backup has no key in it: whoever restores one is told what is missing, before anything starts without it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from callboard.cli.backup import key_to_bring


def test_a_data_directory_without_the_key_is_warned_of(tmp_path: Path) -> None:
    told = key_to_bring(Namespace(data_dir=str(tmp_path / "data")))
    assert told.startswith("WARNING: there is no ")
    assert str(tmp_path / "data" / "keys" / "vault.key") in told
    assert "no token is valid any more, and no secret can be opened" in told


def test_one_with_a_key_is_asked_whether_it_is_the_right_one(tmp_path: Path) -> None:
    key = tmp_path / "data" / "keys" / "vault.key"
    key_to_bring(Namespace(data_dir=str(tmp_path / "data")))
    key.write_bytes(b"k" * 32)
    told = key_to_bring(Namespace(data_dir=str(tmp_path / "data")))
    assert "WARNING" not in told
    assert "that of the installation that was backed up" in told


def test_a_database_elsewhere_wants_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", "postgresql://somewhere/callboard")
    told = key_to_bring(Namespace(data_dir=None))
    assert "CALLBOARD_AUTHSVC_KEY_FILE" in told
    assert "no token is valid any more" in told
