"""The settings of the authsvc, `CALLBOARD_AUTHSVC_*`."""

from __future__ import annotations

from urllib.parse import urlsplit

from callboard.kernel.tokens import key_id_of
from callboard.platform.egress import private_hosts
from callboard.platform.settings import DatabaseSettings, Sensitive


class AuthsvcSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Where the keys are, who the administrator is, and what analytics consumers are told.

    `key_file`: the key-encryption key, 32 bytes raw or in base64, mode 0600; made when it is absent and
    `create_keys` is on. `wrapping_key_files`: more such files, with commas; the first of them wraps data keys in the
    place of `key_file`, all of them open what they wrapped. `bootstrap_token`: the administrator's token; empty leaves
    the administrator as is.
    `trust_dir`: the operator's keys of NATS; empty when this installation's NATS is managed elsewhere.
    `consumer_nats_url`: where consumers reach NATS; empty means `nats_url`. `public_url`: where browsers reach the
    edge. `private_upstreams`: hosts and networks that authorization servers of upstreams may have although their
    addresses are not public, with commas; `*`: loopback and every private range.
    """

    # With a password in it, so it does not print here.
    database_url: Sensitive = Sensitive("postgresql://callboard@127.0.0.1:5432/callboard")
    key_file: str = ".callboard/keys/vault.key"
    create_keys: bool = False
    bootstrap_token: Sensitive = Sensitive("")
    trust_dir: str = ""
    consumer_nats_url: str = ""
    public_url: str = "http://127.0.0.1:8700"
    private_upstreams: str = ""
    wrapping_key_files: str = ""

    def __post_init__(self) -> None:
        private_hosts("CALLBOARD_AUTHSVC_PRIVATE_UPSTREAMS", self.private_upstreams, production=self.production)
        parts = urlsplit(self.public_url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("CALLBOARD_PUBLIC_URL is not like https://host")
        if self.bootstrap_token and key_id_of(self.bootstrap_token) is None:
            raise ValueError("CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN does not have the form of a token (cbk_…)")
