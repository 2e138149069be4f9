"""What the authorization server says of itself (RFC 8414), also where clients of OpenID Connect look for it."""

from __future__ import annotations

from typing import Any, Final

from callboard.kernel.access_tokens import SCOPES

PATHS: Final = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
OFFLINE: Final = "offline_access"
METHODS: Final = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
_ALGORITHMS: Final = ("ES256", "RS256", "PS256")


def is_known(scope: str) -> bool:
    """Whether the scope means something here. Clients ask for what they know from elsewhere, too."""
    return scope in SCOPES or scope == OFFLINE


def metadata(public_url: str) -> dict[str, Any]:
    """The document. `none` is named because some clients use their metadata document only where it is."""
    issuer = public_url.rstrip("/")
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "registration_endpoint": f"{issuer}/register",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "jwks_uri": f"{issuer}/jwks.json",
        "scopes_supported": [*SCOPES, OFFLINE],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", JWT_BEARER],
        "authorization_grant_profiles_supported": ["urn:ietf:params:oauth:grant-profile:id-jag"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": _ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": _ALGORITHMS,
        "client_id_metadata_document_supported": True,
        "authorization_response_iss_parameter_supported": True,
    }
