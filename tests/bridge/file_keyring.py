"""A keyring of the real library that keeps its entries in a file, for `PYTHON_KEYRING_BACKEND`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend


class FileKeyring(KeyringBackend):
    """JSON in the file that `FILE_KEYRING` names."""

    priority = 1

    @property
    def _file(self) -> Path:
        return Path(os.environ["FILE_KEYRING"])

    def _entries(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return found

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._file.write_text(json.dumps({**self._entries(), f"{service} {username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        entries = self._entries()
        del entries[f"{service} {username}"]
        self._file.write_text(json.dumps(entries))


class BrokenKeyring(FileKeyring):
    """A desktop whose keyring says something in its error that nobody must read."""

    def get_password(self, service: str, username: str) -> str | None:
        raise ValueError("s3cret")
