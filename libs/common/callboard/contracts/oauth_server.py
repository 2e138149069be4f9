"""Callboard as the OAuth authorization server of MCP clients: what the edge asks authsvc.

A refusal of the protocol is `Problem("oauth.refused")` with `error` (the code of RFC 6749, 7591, 8707) in its data.
Values that open something have no `repr`. `by` is the `key_id` of a principal, as everywhere; the edge sets it.
Subjects: `callboard.contracts.oauth_subjects`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

ClientKind = Literal["dynamic", "document", "service"]
"""Registered by itself (RFC 7591); described by the document at its id; made by an organisation for an account."""
AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]


class RegisterClient(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.register", tag_field="type"):
    """Dynamic registration (RFC 7591); `address` is where the request came from, and is limited."""

    address: str
    name: str
    redirect_uris: tuple[str, ...]
    auth_method: AuthMethod = "none"
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")


class ClientRegistered(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.registered", tag_field="type"):
    """The only time a secret is shown; empty: the client has none."""

    client_id: str
    issued_at: datetime
    client_secret: str = ""

    def __repr__(self) -> str:
        return f"ClientRegistered({self.client_id!r})"


class AskClient(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.client?", tag_field="type"):
    """Who is this client? An id that begins with https:// is the URL of its metadata document, which is fetched.

    Unknown, expired and unreadable are `oauth.refused` with `invalid_client`. `address`: as in `RegisterClient`.
    """

    client_id: str
    address: str = ""


class OAuthClient(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.client", tag_field="type"):
    """Answer to `AskClient`. `redirect_uris` as registered: a loopback one stands for every port.

    `agreed`: a person here has let it in before.
    """

    client_id: str
    kind: ClientKind
    name: str
    redirect_uris: tuple[str, ...]
    auth_method: AuthMethod
    grant_types: tuple[str, ...]
    agreed: bool = False


class BeginAuthorization(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.begin", tag_field="type"):
    """An authorization request whose client and redirect URI are good. `challenge` is S256.

    `address`: as in `RegisterClient`. `named`: the client sent `redirect_uri`. No `scopes`: what a playbook needs.
    No `resource`: a token for nothing.
    """

    client_id: str
    redirect_uri: str
    named: bool
    challenge: str
    state: str | None = None
    scopes: tuple[str, ...] = ()
    resource: str = ""
    address: str = ""

    def __repr__(self) -> str:
        return f"BeginAuthorization({self.client_id!r})"


class AuthorizationBegun(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.begun", tag_field="type"):
    """The browser goes on at `/consent/{request}`; good for some minutes."""

    request: str

    def __repr__(self) -> str:
        return "AuthorizationBegun()"


class AskConsent(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.consent?", tag_field="type"):
    """What the consent page shows to the person of the session `by`; from now on the request is that session's only.

    `consent.unknown`: no such request, over, decided, or another session's. `playbook.unknown`: there is none that this
    person may use, which may still be told to the client (`RefuseConsent`).
    """

    request: str
    by: str

    def __repr__(self) -> str:
        return f"AskConsent(by={self.by!r})"


class ScopeInWords(msgspec.Struct, frozen=True, kw_only=True):
    """One scope and what it lets the client do."""

    scope: str
    words: str


class Consent(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.consent", tag_field="type"):
    """Answer to `AskConsent`: texts of the client are its own claims, and have to be escaped.

    `client_host`: of its id, where that is a URL, else empty. `redirect_host`: where the browser is sent to. `playbook`
    empty: every playbook of the organisation (`union`), or nothing at all. `organisations`: the person has to choose
    one of these and give it to `GiveConsent`; empty: nothing to choose. `warnings`: sentences. `consented_at`: when
    this person agreed to this client and playbook before; it is asked again all the same.
    """

    client_id: str
    client_name: str
    client_kind: ClientKind
    client_host: str
    redirect_host: str
    redirect_uri: str
    scopes: tuple[ScopeInWords, ...]
    organisation: str = ""
    playbook: str = ""
    union: bool = False
    organisations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    consented_at: datetime | None = None
    expires_at: datetime


class GiveConsent(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.give_consent", tag_field="type"):
    """The person agreed, in the session that was shown the question. Errors as for `AskConsent`."""

    request: str
    by: str
    organisation: str = ""

    def __repr__(self) -> str:
        return f"GiveConsent(by={self.by!r})"


class RefuseConsent(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.refuse_consent", tag_field="type"):
    """The person did not agree, or may not."""

    request: str
    by: str

    def __repr__(self) -> str:
        return f"RefuseConsent(by={self.by!r})"


class ConsentDecided(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.decided", tag_field="type"):
    """Where the browser goes now: the client's redirect URI with `code` or `error`, `state` and `iss`."""

    url: str

    def __repr__(self) -> str:
        return "ConsentDecided()"


class ClientProof(msgspec.Struct, frozen=True, kw_only=True):
    """How a client shows who it is: not at all, by a secret, or by a signed assertion (RFC 7523).

    `address`: where it comes from, as in `RegisterClient`.
    """

    client_id: str = ""
    secret: str = ""
    assertion: str = ""
    address: str = ""

    def __repr__(self) -> str:
        return f"ClientProof({self.client_id!r})"


class ExchangeCode(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.exchange_code", tag_field="type"):
    """`grant_type=authorization_code`. A code that was used before takes the whole grant with it."""

    proof: ClientProof
    code: str
    verifier: str
    redirect_uri: str = ""
    resource: str = ""

    def __repr__(self) -> str:
        return f"ExchangeCode({self.proof!r})"


class RefreshTokens(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.refresh", tag_field="type"):
    """`grant_type=refresh_token`. No `scopes`: those of the grant."""

    proof: ClientProof
    refresh_token: str
    scopes: tuple[str, ...] = ()
    resource: str = ""

    def __repr__(self) -> str:
        return f"RefreshTokens({self.proof!r})"


class UseCredentials(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.use_credentials", tag_field="type"):
    """`grant_type=client_credentials`: for clients that an organisation made for a service account."""

    proof: ClientProof
    scopes: tuple[str, ...] = ()
    resource: str = ""


class ExchangeAssertion(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.exchange_assertion", tag_field="type"):
    """`grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer`: an identity provider vouches for a person (ID-JAG)."""

    proof: ClientProof
    assertion: str
    scopes: tuple[str, ...] = ()
    resource: str = ""

    def __repr__(self) -> str:
        return f"ExchangeAssertion({self.proof!r})"


class IssuedTokens(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.issued", tag_field="type"):
    """Answer to the four above. Without a refresh token it is empty."""

    access_token: str
    expires_in: int
    scopes: tuple[str, ...]
    refresh_token: str = ""

    def __repr__(self) -> str:
        return "IssuedTokens()"


class RevokePresented(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.revoke", tag_field="type"):
    """RFC 7009: whichever token it is, its grant ends. Somebody else's or an unknown one: nothing happens."""

    proof: ClientProof
    token: str

    def __repr__(self) -> str:
        return f"RevokePresented({self.proof!r})"


class Introspect(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.introspect", tag_field="type"):
    """RFC 7662, by somebody who may manage the organisation of the token; anything else is simply not active."""

    token: str
    by: str

    def __repr__(self) -> str:
        return f"Introspect(by={self.by!r})"


class Introspection(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.introspection", tag_field="type"):
    """Answer to `Introspect`; of a token that is not active nothing else is said. Times are epoch seconds."""

    active: bool
    client_id: str = ""
    subject: str = ""
    audience: str = ""
    scopes: tuple[str, ...] = ()
    expires_at: int = 0
    issued_at: int = 0
    organisation: str = ""
    grant: str = ""


class AskGrants(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.grants?", tag_field="type"):
    """The grants of an organisation, or of one `member`, in one organisation or (empty, of a person) in all of its."""

    organisation: str = ""
    member: str = ""


class GrantLine(msgspec.Struct, frozen=True, kw_only=True):
    """One grant as listed. `means`: "consent", "client_credentials" or "assertion". No playbook: see `resource`."""

    grant: str
    organisation: str
    member: str
    client_id: str
    client_name: str
    playbook: str
    resource: str
    scopes: tuple[str, ...]
    means: str
    created_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    reason: str = ""


class Grants(msgspec.Struct, frozen=True, kw_only=True, tag="oauth.grants", tag_field="type"):
    """Answer to `AskGrants`, the newest first; those that ended long ago are not in it."""

    grants: tuple[GrantLine, ...]


class RevokeGrant(msgspec.Struct, frozen=True, kw_only=True, tag="grant.revoke", tag_field="type"):
    """End a grant. `by` has to be its member, or to have `token:manage` in the organisation.

    `organisation` empty: one's own grant, wherever it is.
    """

    command_id: str
    organisation: str
    grant: str
    comment: str = ""
    actor: str = ""
    by: str = ""


class AddServiceClient(msgspec.Struct, frozen=True, kw_only=True, tag="oauth_client.add", tag_field="type"):
    """A client that acts as a service account (client credentials), or for persons an identity provider vouches for.

    `public_keys`: a JWK set as JSON text, for `private_key_jwt`; empty: it gets a secret.
    """

    command_id: str
    organisation: str
    account: str
    title: str = ""
    public_keys: str = ""
    actor: str = ""
    by: str = ""


class RemoveServiceClient(msgspec.Struct, frozen=True, kw_only=True, tag="oauth_client.remove", tag_field="type"):
    """The client and all of its grants end."""

    command_id: str
    organisation: str
    client_id: str
    actor: str = ""
    by: str = ""


class AskServiceClients(msgspec.Struct, frozen=True, kw_only=True, tag="oauth_clients?", tag_field="type"):
    """The clients that an organisation made."""

    organisation: str


class ServiceClientLine(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, without its secret."""

    client_id: str
    account: str
    title: str
    auth_method: AuthMethod
    created_at: datetime
    used_at: datetime | None = None


class ServiceClients(msgspec.Struct, frozen=True, kw_only=True, tag="oauth_clients", tag_field="type"):
    """Answer to `AskServiceClients`."""

    clients: tuple[ServiceClientLine, ...]
