"""Who may do what on the bus: NATS decentralised JWT identities, made here instead of with the `nsc` tool.

Above: `callboard.local` (writes the server configuration), each room (reads a credentials file).
Below: `nkeys` for ed25519 signatures, and one request to the server when an account changes.

The chain is operator > account > user. The server trusts the operator's public key only; an account is signed
by the operator, a user by the account's signing key. So the server holds no secret, and a user is taken away
by pushing its public key in the account's revocations.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import nkeys

from callboard.contracts import consumer_subjects

if TYPE_CHECKING:
    from nats.aio.client import RawCredentials

MAIN_ACCOUNT: Final = "CALLBOARD"
SYSTEM_ACCOUNT: Final = "SYS"
TRUST_FILE: Final = "trust.json"

# nkeys has no annotations.
_encode_seed: Any = nkeys.encode_seed
_from_seed: Any = nkeys.from_seed

# The account in the configuration file must always look older than one that was pushed: at a restart the
# resolver keeps the newer of the two, and a preload with a fresh `iat` would bring every revoked user back.
# Raise it by one whenever what the accounts say changes, so that an older one in the resolver's directory yields.
PRELOAD_ISSUED_AT: Final = 2

_SYSTEM_USER_SECONDS: Final = 60
_RESPONSE_NANOSECONDS: Final = 120 * 1_000_000_000


class BusIdentityError(Exception):
    """The trust could not be read, or the server refused an account."""


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """The subjects a user may use. Nothing listed means nothing allowed, in contrast to NATS itself.

    `allow_responses` adds one answer, within two minutes, to the reply subject of each message received.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    allow_responses: bool = False


class UserCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A `.creds` text for `nats.connect(user_credentials=path)`, and the public key to revoke it by."""

    text: str
    public_key: str

    def __repr__(self) -> str:
        return f"UserCredentials(public_key={self.public_key!r})"

    def save(self, path: Path) -> Path:
        """Write the credentials so that only this OS user can read them."""
        write_private_file(path, self.text.encode())
        return path

    def raw(self) -> RawCredentials:
        """The same credentials for `user_credentials=` without a file."""
        # The client library costs every start of `callboard up` 0.15 s, and only this and `push_account` need it.
        from nats.aio.client import RawCredentials

        return RawCredentials(self.text)


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """The seeds everything else on the bus is signed with. Whoever has them owns the bus."""

    operator_seed: str
    system_seed: str
    account_seed: str
    signing_seed: str

    def __repr__(self) -> str:
        return f"Trust(operator={self.operator_key!r}, account={self.account_key!r})"

    @classmethod
    def generate(cls) -> Trust:
        """A new operator with its system account, main account and the key that signs users."""
        return cls(
            operator_seed=new_seed(nkeys.PREFIX_BYTE_OPERATOR),
            system_seed=new_seed(nkeys.PREFIX_BYTE_ACCOUNT),
            account_seed=new_seed(nkeys.PREFIX_BYTE_ACCOUNT),
            signing_seed=new_seed(nkeys.PREFIX_BYTE_ACCOUNT),
        )

    @classmethod
    def load(cls, directory: Path) -> Trust:
        """The trust saved in `directory`."""
        path = directory / TRUST_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            raise BusIdentityError(f"no bus trust in {directory}: {TRUST_FILE} is missing") from None
        except msgspec.DecodeError as error:
            # The message names the field, never its value.
            raise BusIdentityError(f"{path} is not a bus trust: {error}") from None

    def save(self, directory: Path) -> None:
        """Write all seeds as one file: after a crash there is the old trust or the new one, never a mixture."""
        make_private_directory(directory)
        write_private_file(directory / TRUST_FILE, msgspec.json.encode(self))

    @property
    def operator_key(self) -> str:
        """Public key of the operator."""
        return public_key_of(self.operator_seed)

    @property
    def system_key(self) -> str:
        """Public key of the system account."""
        return public_key_of(self.system_seed)

    @property
    def account_key(self) -> str:
        """Public key of the main account."""
        return public_key_of(self.account_seed)

    @property
    def signing_key(self) -> str:
        """Public key that signs users of the main account; replacing it keeps the account and its streams."""
        return public_key_of(self.signing_seed)


def operator_jwt(trust: Trust) -> str:
    """The operator, signed by itself. It says which account is the system account."""
    claims = {"type": "operator", "version": 2, "system_account": trust.system_key}
    return sign_claims(trust.operator_seed, "callboard", trust.operator_key, claims)


def account_jwt(trust: Trust, revocations: Mapping[str, int] | None = None, *, issued_at: int | None = None) -> str:
    """The main account, with JetStream and without limits.

    `revocations` maps the public key of a user to a Unix time: what was issued to it until then is refused.
    """
    jetstream = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    claims = account_claims(jetstream) | {"signing_keys": [trust.signing_key], "exports": _exports()}
    if revocations:
        claims["revocations"] = dict(revocations)
    return sign_claims(trust.operator_seed, MAIN_ACCOUNT, trust.account_key, claims, issued_at=issued_at)


def system_account_jwt(trust: Trust) -> str:
    """The system account: server events and account updates, no JetStream."""
    claims = account_claims({})
    return sign_claims(trust.operator_seed, SYSTEM_ACCOUNT, trust.system_key, claims, issued_at=PRELOAD_ISSUED_AT)


def user_creds(trust: Trust, name: str, permissions: Permissions, expires_at: int | None = None) -> UserCredentials:
    """A new user of the main account. Its seed is in the result only and cannot be made again."""
    claims = user_claims(permissions) | {"issuer_account": trust.account_key}
    return issue_credentials(trust.signing_seed, name, claims, expires_at)


def system_user_creds(trust: Trust, expires_at: int | None = None) -> UserCredentials:
    """A user of the system account, which may do everything there. Keep it short-lived."""
    everything = Permissions(publish=(">",), subscribe=(">",))
    return issue_credentials(trust.system_seed, "system", user_claims(everything), expires_at)


async def push_account(
    nats_url: str, trust: Trust, revocations: Mapping[str, int] | None = None, *, within: float = 5.0
) -> None:
    """Replace the main account on the server. A revoked user is disconnected at once and refused from then.

    The map replaces the one before it, so give all revocations and not only the new one. The server keeps the
    account in its resolver directory; it needs `resolver: {type: full}`.
    """
    import nats

    system = system_user_creds(trust, expires_at=int(time.time()) + _SYSTEM_USER_SECONDS)
    connection = await nats.connect(
        nats_url,
        user_credentials=system.raw(),
        allow_reconnect=False,
        connect_timeout=within,
        name="account-push",
    )
    try:
        token = account_jwt(trust, revocations).encode()
        reply = await connection.request("$SYS.REQ.CLAIMS.UPDATE", token, timeout=within)
    finally:
        await connection.close()
    answer = json.loads(reply.data)
    if answer.get("data", {}).get("code") != 200:
        raise BusIdentityError(f"the server refused the account: {answer.get('error') or answer.get('data')}")


def server_config(
    trust: Trust,
    *,
    host: str,
    port: int,
    store_dir: Path,
    resolver_dir: Path,
    max_payload: int = 33_554_432,
    ping_interval: str = "2s",
    ping_max: int = 2,
    http_port: int | None = None,
) -> str:
    """The text of a nats-server configuration that trusts this operator and nobody else.

    It holds public keys and signatures only. Nobody gets in without credentials: in operator mode there is no
    anonymous user unless one is named.
    """
    preload = {
        trust.system_key: system_account_jwt(trust),
        trust.account_key: account_jwt(trust, issued_at=PRELOAD_ISSUED_AT),
    }
    lines = [
        'server_name: "callboard"',
        f"host: {_quoted(host)}",
        f"port: {port}",
        *([] if http_port is None else [f"http: {_quoted(f'{host}:{http_port}')}"]),
        f"max_payload: {max_payload}",
        f"ping_interval: {_quoted(ping_interval)}",
        f"ping_max: {ping_max}",
        'write_deadline: "5s"',
        f"jetstream {{ store_dir: {_quoted(str(store_dir))} }}",
        f"operator: {operator_jwt(trust)}",
        f"system_account: {trust.system_key}",
        f'resolver {{ type: full, dir: {_quoted(str(resolver_dir))}, allow_delete: false, interval: "2m" }}',
        "resolver_preload {",
        *(f"  {key}: {token}" for key, token in preload.items()),
        "}",
    ]
    return "\n".join(lines) + "\n"


def make_private_directory(path: Path) -> Path:
    """Make `path` a directory that only this OS user can enter, whatever the umask."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_private_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` at once by a file that nobody else can read, not even while it is written."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # O_EXCL and a mode at creation: no moment with the umask's mode, and no writing through someone's link.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exports() -> list[dict[str, str]]:
    # Only an account signed by the operator can import them, and it says what (`consumer_account`).
    services = [
        {"name": subject, "subject": subject, "type": "service", "response_type": answers}
        for subject, answers in consumer_subjects.CONSUMER_SERVICES.items()
    ]
    return services + [{"name": feed, "subject": feed, "type": "stream"} for feed in consumer_subjects.CONSUMER_FEEDS]


def account_claims(jetstream: Mapping[str, int]) -> dict[str, Any]:
    """The claims of an account without limits; `jetstream` are the limits of its JetStream (none: it has none)."""
    unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    return {"type": "account", "version": 2, "limits": {**unlimited, "wildcards": True, **jetstream}}


def user_claims(permissions: Permissions) -> dict[str, Any]:
    """The claims of a user that may do this and nothing else."""
    claims: dict[str, Any] = {
        "type": "user",
        "version": 2,
        "pub": _subjects(permissions.publish),
        "sub": _subjects(permissions.subscribe),
        "subs": -1,
        "data": -1,
        "payload": -1,
    }
    if permissions.allow_responses:
        claims["resp"] = {"max": 1, "ttl": _RESPONSE_NANOSECONDS}
    return claims


def _subjects(allowed: tuple[str, ...]) -> dict[str, list[str]]:
    # To the server an empty allow list means everything; here it means nothing.
    return {"allow": list(allowed)} if allowed else {"deny": [">"]}


def issue_credentials(issuer_seed: str, name: str, claims: dict[str, Any], expires_at: int | None) -> UserCredentials:
    """A new user, signed by an account or its signing key."""
    seed = new_seed(nkeys.PREFIX_BYTE_USER)
    public_key = public_key_of(seed)
    token = sign_claims(issuer_seed, name, public_key, claims, expires_at=expires_at)
    text = (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    return UserCredentials(text=text, public_key=public_key)


def sign_claims(
    issuer_seed: str,
    name: str,
    subject: str,
    claims: Mapping[str, Any],
    *,
    issued_at: int | None = None,
    expires_at: int | None = None,
) -> str:
    """The JWT in which the issuer says this of the public key `subject`."""
    body: dict[str, Any] = {
        "iat": int(time.time()) if issued_at is None else issued_at,
        "iss": public_key_of(issuer_seed),
        "name": name,
        "sub": subject,
        "nats": claims,
    }
    if expires_at is not None:
        body["exp"] = expires_at
    digest = hashlib.sha256(_compact(body)).digest()
    body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    header = _segment(_compact({"typ": "JWT", "alg": "ed25519-nkey"}))
    signed = f"{header}.{_segment(_compact(body))}"
    return f"{signed}.{_segment(_key_pair(issuer_seed).sign(signed.encode()))}"


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _segment(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _quoted(value: str) -> str:
    # nats-server reads backslash escapes inside double quotes, as JSON does.
    return json.dumps(value, ensure_ascii=False)


def new_seed(prefix: int) -> str:
    """A new private key of the kind that the prefix of `nkeys` says."""
    return str(_encode_seed(os.urandom(32), prefix).decode())


def _key_pair(seed: str) -> Any:
    return _from_seed(seed.encode())


def public_key_of(seed: str) -> str:
    """The public key of a seed."""
    return str(_key_pair(seed).public_key.decode())
