"""The texts of the migrations, in order. Apart from `migrate`, because reading them needs no database driver."""

from __future__ import annotations

import hashlib
from importlib import resources


def migration_texts() -> dict[str, str]:
    """File name -> SQL."""
    folder = resources.files("callboard.platform").joinpath("migrations")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def fingerprint() -> str:
    """Changes with every migration that is added: a database that was migrated under the same one is up to date."""
    parts = [part for pair in migration_texts().items() for part in pair]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
