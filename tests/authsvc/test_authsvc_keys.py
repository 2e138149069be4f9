"""The key file and the seals: what is refused, and what opens where."""

from __future__ import annotations

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callboard.platform.settings import SettingsRefused, load
from callboard_authsvc.adapters.key_file import FINGERPRINT, PEPPER, KeyFile
from callboard_authsvc.settings import AuthsvcSettings
from callboard_authsvc.tokens.verifier import Verifier
from callboard_authsvc.vault.sealing import (
    NotOpened,
    associated,
    open_sealed,
    place_of_data_key,
    place_of_secret,
    seal,
)
from tests.authsvc.stack import some_token

KEY = bytes(range(32))
NONCE = bytes(12)
SETTING = "CALLBOARD_AUTHSVC_KEY_FILE"


def key_file(tmp_path: Path, content: bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "vault.key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def load_key(path: Path, *, create: bool = False) -> KeyFile:
    return KeyFile.load(path, os.urandom, create=create)


@pytest.mark.parametrize(
    "content",
    [KEY, base64.b64encode(KEY) + b"\n", base64.b64encode(KEY).rstrip(b"="), base64.urlsafe_b64encode(KEY)],
)
def test_a_key_is_read_raw_or_in_base64(tmp_path: Path, content: bytes) -> None:
    assert load_key(key_file(tmp_path, content)).current() == KeyFile(KEY, os.urandom).current()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660, 0o777])
def test_a_key_file_that_others_can_use_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, KEY, mode)

    with pytest.raises(SettingsRefused, match=rf"{SETTING}.*chmod 600 {path}"):
        load_key(path)


@pytest.mark.parametrize("content", [b"", b"short", b"k" * 33, base64.b64encode(b"k" * 31), b"!" * 44, b"k" * 500])
def test_a_file_without_a_key_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SettingsRefused, match=SETTING) as refusal:
        load_key(key_file(tmp_path, content))

    assert len(content) < 5 or content.decode() not in str(refusal.value)


def test_an_absent_key_file_is_refused_unless_it_may_be_made(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "vault.key"

    with pytest.raises(SettingsRefused, match="CALLBOARD_AUTHSVC_CREATE_KEYS=1"):
        load_key(path)
    made = load_key(path, create=True)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_key(path).current() == made.current()
    assert [file.name for file in path.parent.iterdir()] == ["vault.key"]


def test_instances_that_start_together_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: load_key(path, create=True).current(), range(32)))

    assert len(ids) == 1


def test_a_directory_in_the_place_of_the_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match=SETTING):
        load_key(tmp_path)


async def test_a_data_key_opens_for_its_organisation_and_key_file_only() -> None:
    keys = KeyFile(KEY, os.urandom)
    wrapped = await keys.wrap(b"d" * 32, place_of_data_key("acme"))

    assert await keys.unwrap(keys.current(), wrapped, place_of_data_key("acme")) == b"d" * 32
    with pytest.raises(NotOpened):
        await keys.unwrap(keys.current(), wrapped, place_of_data_key("zeta"))
    with pytest.raises(NotOpened):
        await KeyFile(b"o" * 32, os.urandom).unwrap(keys.current(), wrapped, place_of_data_key("acme"))
    with pytest.raises(NotOpened):
        await keys.unwrap(keys.current(), wrapped[:20], place_of_data_key("acme"))


def test_every_use_has_a_key_of_its_own() -> None:
    keys = KeyFile(KEY, os.urandom)

    assert len({KEY, keys.derive(PEPPER), keys.derive(FINGERPRINT)}) == 3
    assert KEY.hex() not in repr(keys)


@pytest.mark.parametrize(
    "place",
    [
        place_of_secret("zeta", "key", 1),
        place_of_secret("acme", "other", 1),
        place_of_secret("acme", "key", 2),
        place_of_secret("acmek", "ey", 1),
        place_of_data_key("acme"),
    ],
)
def test_a_value_opens_in_its_own_place_only(place: tuple[str, ...]) -> None:
    own = place_of_secret("acme", "key", 1)
    sealed = seal(KEY, NONCE, b"value", own)

    assert open_sealed(KEY, NONCE, sealed, own) == b"value"
    with pytest.raises(NotOpened):
        open_sealed(KEY, NONCE, sealed, place)


def test_altered_bytes_do_not_open() -> None:
    own = place_of_secret("acme", "key", 1)
    sealed = seal(KEY, NONCE, b"value", own)

    for index in range(len(sealed)):
        altered = bytes([*sealed[:index], sealed[index] ^ 1, *sealed[index + 1 :]])
        with pytest.raises(NotOpened):
            open_sealed(KEY, NONCE, altered, own)


def test_associated_data_keeps_its_parts_apart() -> None:
    assert associated(("t1", "u1")) != associated(("t1u", "1"))
    assert associated(("a",)) != associated(("a", ""))


def test_a_verifier_depends_on_the_pepper_and_fits_its_token_only() -> None:
    verifier = Verifier(b"pepper")
    token, other = some_token(1), some_token(2)

    assert verifier.fits(token, verifier.of(token))
    assert not verifier.fits(other, verifier.of(token))
    assert not verifier.fits(token, None)
    assert Verifier(b"another").of(token) != verifier.of(token)


def test_a_malformed_bootstrap_token_is_refused_by_name_and_not_by_value() -> None:
    token = some_token(1)[:-1] + "!"

    with pytest.raises(SettingsRefused, match="CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN") as refusal:
        load(AuthsvcSettings, "authsvc", {"CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN": token})

    assert token not in str(refusal.value)


def test_settings_do_not_print_what_is_secret() -> None:
    environ = {
        "CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN": some_token(1),
        "CALLBOARD_DATABASE_URL": "postgresql://callboard:hunter2@db/callboard",
    }

    settings = load(AuthsvcSettings, "authsvc", environ)

    assert settings.bootstrap_token == some_token(1)
    assert settings.database_url.endswith("hunter2@db/callboard")
    assert some_token(1) not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_a_misspelt_setting_is_refused_by_name() -> None:
    with pytest.raises(SettingsRefused, match="CALLBOARD_AUTHSVC_KEYFILE"):
        load(AuthsvcSettings, "authsvc", {"CALLBOARD_AUTHSVC_KEYFILE": "x"})
