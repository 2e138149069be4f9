"""The settings of the authsvc, `CALLBOARD_AUTHSVC_*`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from callboard.contracts.problems import Problem
from callboard.kernel.plans import PLANS
from callboard.kernel.tokens import key_id_of
from callboard.kernel.webhook_signatures import key_of
from callboard.platform.egress import private_hosts
from callboard.platform.settings import DatabaseSettings, Sensitive
from callboard_authsvc.external.domain import is_safe_issuer, parse_roles
from callboard_authsvc.oauth_server.client import parse_private_uris, parse_trusted
from callboard_authsvc.people.domain import check_password, checked_email


class AuthsvcSettings(DatabaseSettings, frozen=True, kw_only=True):
    """Where the keys are, who the administrator is, and what analytics consumers are told.

    `key_file`: the key-encryption key, 32 bytes raw or in base64, mode 0600; made when it is absent and
    `create_keys` is on. `wrapping_key_files`: more such files, with commas; the first of them wraps data keys in the
    place of `key_file`, all of them open what they wrapped. `bootstrap_token`: the administrator's token; empty leaves
    the administrator as is.
    `trust_dir`: the operator's keys of NATS; empty when this installation's NATS is managed elsewhere.
    `consumer_nats_url`: where consumers reach NATS; empty means `nats_url`. `admin_email` and `admin_password`: the
    person who administers the installation, made at the first start; both or neither. `default_plan`: the plan of new
    organisations; empty: none, and no limits. `oidc_issuer` to `oidc_redirect_url`: the identity provider, all or
    none; the last is `…/api/v1/session/external/callback` of this installation. `oidc_organisation` and `oidc_roles`
    (`group=role, group=role`): who belongs to that organisation by the claim `oidc_groups_claim`. `oidc_parties`: with
    commas, other `azp` whose JWTs the management API takes. `oidc_webhook_secret` (`whsec_…`): of the provider's
    webhooks, at `/api/v1/webhooks/identity`. `public_url`: where browsers reach the edge.
    `redirect_uris`: of clients with schemes of their own, whole and with commas, beside those that are known.
    `id_jag_issuers` (`issuer=organisation`, with commas): identity providers that vouch for persons to its clients.
    `private_upstreams`: hosts and networks that authorization servers of upstreams, the identity provider and receivers
    of webhooks may have although their addresses are not public, with commas; `*`: loopback and every private range.
    `private_clients`: the same for metadata documents and keys of OAuth clients, which anybody can name; for tests.
    `refusals_seconds`: how often at most one instance writes down who was refused.
    `webhook_retry_seconds`: before the second attempt, doubled with each; after `webhook_give_up_seconds` without an
    answer that counts the webhook is disabled.
    """

    # With a password in it, so it does not print here.
    database_url: Sensitive = Sensitive("postgresql://callboard@127.0.0.1:5432/callboard")
    key_file: str = ".callboard/keys/vault.key"
    create_keys: bool = False
    bootstrap_token: Sensitive = Sensitive("")
    trust_dir: str = ""
    consumer_nats_url: str = ""
    admin_email: str = ""
    admin_password: Sensitive = Sensitive("")
    default_plan: str = ""
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: Sensitive = Sensitive("")
    oidc_redirect_url: str = ""
    oidc_scopes: str = "openid email profile"
    oidc_organisation: str = ""
    oidc_groups_claim: str = "groups"
    oidc_roles: str = ""
    oidc_parties: str = ""
    oidc_webhook_secret: Sensitive = Sensitive("")
    public_url: str = "http://127.0.0.1:8700"
    private_upstreams: str = ""
    private_clients: str = ""
    redirect_uris: str = ""
    id_jag_issuers: str = ""
    wrapping_key_files: str = ""
    refusals_seconds: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    webhook_retry_seconds: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    webhook_give_up_seconds: Annotated[float, Meta(gt=0, le=30 * 86_400)] = 3 * 86_400.0

    def __post_init__(self) -> None:
        for name in ("PRIVATE_UPSTREAMS", "PRIVATE_CLIENTS"):
            private_hosts(f"CALLBOARD_AUTHSVC_{name}", getattr(self, name.lower()), production=self.production)
        parts = urlsplit(self.public_url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("CALLBOARD_PUBLIC_URL is not like https://host")
        if self.bootstrap_token and key_id_of(self.bootstrap_token) is None:
            raise ValueError("CALLBOARD_AUTHSVC_BOOTSTRAP_TOKEN does not have the form of a token (cbk_…)")
        if self.default_plan and self.default_plan not in PLANS:
            raise ValueError(f"CALLBOARD_AUTHSVC_DEFAULT_PLAN: choose one of {', '.join(PLANS)}")
        if bool(self.admin_email) != bool(self.admin_password):
            raise ValueError("CALLBOARD_AUTHSVC_ADMIN_EMAIL and CALLBOARD_AUTHSVC_ADMIN_PASSWORD belong together")
        if self.admin_email:
            try:
                check_password(self.admin_password, checked_email(self.admin_email))
            except Problem as problem:
                raise ValueError(f"CALLBOARD_AUTHSVC_ADMIN_{problem.message}") from None
        self._check_identity_provider()
        for name, parse in (("REDIRECT_URIS", parse_private_uris), ("ID_JAG_ISSUERS", parse_trusted)):
            try:
                parse(getattr(self, name.lower()))
            except ValueError as error:
                raise ValueError(f"CALLBOARD_AUTHSVC_{name}: {error}") from None

    def _check_identity_provider(self) -> None:
        named = (self.oidc_issuer, self.oidc_client_id, self.oidc_client_secret, self.oidc_redirect_url)
        if any(named) and not all(named):
            names = "_ISSUER, _CLIENT_ID, _CLIENT_SECRET and _REDIRECT_URL"
            raise ValueError(f"CALLBOARD_AUTHSVC_OIDC: {names} belong together")
        if self.oidc_issuer and not is_safe_issuer(self.oidc_issuer):
            raise ValueError("CALLBOARD_AUTHSVC_OIDC_ISSUER: use an https URL")
        try:
            if self.oidc_webhook_secret:
                key_of(self.oidc_webhook_secret)
        except ValueError as error:
            raise ValueError(f"CALLBOARD_AUTHSVC_OIDC_WEBHOOK_SECRET: {error}") from None
        try:
            parse_roles(self.oidc_roles)
        except ValueError as error:
            raise ValueError(f"CALLBOARD_AUTHSVC_OIDC_ROLES: {error}") from None
