"""The key-encryption key in a file that only its owner can read.

Everything comes from the 32 bytes in it by HKDF-SHA-256 (RFC 5869, no salt) with a fixed label each, so that no
key has two uses: the key that wraps data keys, the pepper of token verifiers, the key of fingerprints, the key that
signs anchors, the key of sign-in links, and the id of the file. Who loses the file loses the secrets and the tokens:
back it up, apart from the database.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from callboard.platform.bus_identity import make_private_directory, sync_directory
from callboard.platform.settings import SettingsRefused
from callboard_authsvc.clock import Chance
from callboard_authsvc.vault.sealing import KEY_BYTES, NONCE_BYTES, NotOpened, open_sealed, seal

SETTING = "CALLBOARD_AUTHSVC_KEY_FILE"
PEPPER = "callboard token pepper v1"
ANCHORS = "callboard audit anchors v1"
CSRF = "callboard session csrf v1"
FINGERPRINT = "callboard command fingerprint v1"
TASK_ROOT = "callboard task ids v1"
OAUTH_LINEAGE = "callboard oauth refresh tokens v1"
PERSON_NAMES = "callboard person names v1"
SIGN_IN_LINKS = "callboard sign-in links v1"
REFUSALS = "callboard digests of refused callers v1"
_WRAPPING = "callboard data key wrapping v1"
_IDENTITY = "callboard key file identity v1"

_MAX_FILE_BYTES = 128


class KeyFile:
    """A `KeyEncryption` whose key is a file; `derive` is for the keys that never leave the process."""

    def __init__(self, key: bytes, chance: Chance) -> None:
        self._key = key
        self._chance = chance
        self._wrapping = self.derive(_WRAPPING)
        self._id = f"file:{self.derive(_IDENTITY)[:8].hex()}"

    def __repr__(self) -> str:
        return f"KeyFile({self._id!r})"

    def derive(self, label: str) -> bytes:
        """32 bytes for one use."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=label.encode()).derive(self._key)

    def current(self) -> str:
        """The id of this file's key; another file has another one."""
        return self._id

    async def wrap(self, data_key: bytes, context: tuple[str, ...]) -> bytes:
        """Nonce, ciphertext and tag."""
        nonce = self._chance(NONCE_BYTES)
        return nonce + seal(self._wrapping, nonce, data_key, (self._id, *context))

    async def unwrap(self, key_id: str, wrapped: bytes, context: tuple[str, ...]) -> bytes:
        """The data key; raises `NotOpened`."""
        if key_id != self._id:
            raise NotOpened
        return open_sealed(self._wrapping, wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], (self._id, *context))

    @classmethod
    def load(cls, path: Path, chance: Chance, *, create: bool) -> Self:
        """Read the file, or make it when there is none and `create` is set.

        Raises `SettingsRefused`, which names the setting and what to do.
        """
        try:
            return cls(_read(path), chance)
        except FileNotFoundError:
            if not create:
                raise SettingsRefused(
                    f"{SETTING}: there is no {path}; restore it, or have it made once with "
                    "CALLBOARD_AUTHSVC_CREATE_KEYS=1"
                ) from None
        try:
            _create(path, chance(KEY_BYTES))
            return cls(_read(path), chance)
        except OSError as error:
            raise SettingsRefused(f"{SETTING}: cannot make {path}: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SettingsRefused(f"{SETTING}: cannot read {path}: {error.strerror}") from None
    try:
        # Of the file that is open, not of the name: nobody can exchange it in between.
        _check_mode(path, os.fstat(descriptor).st_mode)
        key = _decoded(os.read(descriptor, _MAX_FILE_BYTES))
    finally:
        os.close(descriptor)
    if key is None:
        raise SettingsRefused(f"{SETTING}: {path} does not hold 32 bytes, raw or in base64")
    return key


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise SettingsRefused(f"{SETTING}: {path} is not a file")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        shown = f"{stat.S_IMODE(mode):04o}"
        raise SettingsRefused(f"{SETTING}: others can use {path} (mode {shown}); run: chmod 600 {path}")


def _decoded(content: bytes) -> bytes | None:
    if len(content) == KEY_BYTES:
        return content
    text = content.strip().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        key = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _create(path: Path, key: bytes) -> None:
    """Write under another name and link: of several instances one wins, and none reads half a key."""
    if not path.parent.exists():
        make_private_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)
