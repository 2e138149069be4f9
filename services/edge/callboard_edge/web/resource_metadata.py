"""What anybody may know of a playbook's endpoint: who issues tokens for it (RFC 9728), and the keys that sign them.

The document is made from the path alone and nobody is asked: it is the same for playbooks that do not exist, so that
it tells nothing. Pages of any origin may read it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response, get
from litestar.types import ControllerRouterHandler

from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import BASELINE, resource_of
from callboard_edge.auth.signing_keys import KEPT_SECONDS, SigningKeySet
from callboard_edge.mcp.challenges import METADATA

_SHARED: Final = {"Access-Control-Allow-Origin": "*", "Cache-Control": f"public, max-age={KEPT_SECONDS:.0f}"}


class ResourceMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Protected-resource metadata. `resource` is the URL as it was pasted into a client."""

    resource: str
    authorization_servers: tuple[str, ...]
    scopes_supported: tuple[str, ...] = BASELINE
    bearer_methods_supported: tuple[str, ...] = ("header",)
    resource_name: str = "Callboard"


def resource_routes(keys: SigningKeySet, public_url: str) -> list[ControllerRouterHandler]:
    """The two documents."""
    root = public_url.rstrip("/")

    @get([METADATA, METADATA + "/{path:path}"], sync_to_thread=False, include_in_schema=False)
    def metadata(path: str = "") -> Response[bytes]:
        resource = root + path.rstrip("/")
        if resource_of(root, resource) is None:
            # There is none at the root: one resource per playbook, and it would name a parent of them all.
            return _json({"error": "not_found"}, 404)
        return _json(ResourceMetadata(resource=resource, authorization_servers=(root,)))

    @get("/jwks.json", include_in_schema=False)
    async def key_set() -> Response[bytes]:
        try:
            return Response(await keys.jwks(), media_type="application/json", headers=_SHARED)
        except Problem as problem:
            return _json({"error": problem.code}, problem.http_status)

    return [metadata, key_set]


def _json(document: object, status: int = 200) -> Response[bytes]:
    headers = _SHARED if status == 200 else {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
    return Response(msgspec.json.encode(document), status_code=status, media_type="application/json", headers=headers)
