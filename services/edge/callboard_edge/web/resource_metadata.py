"""What anybody may know of a playbook's endpoint: who issues tokens for it (RFC 9728), and the keys that sign them.

The document is made from the path alone and nobody is asked: it is the same for playbooks that do not exist, so that
it tells nothing. Pages of any origin may read it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import HttpMethod, Response, route
from litestar.types import ControllerRouterHandler

from callboard.contracts.problems import Problem
from callboard.kernel.access_tokens import BASELINE, resource_of
from callboard_edge.auth.signing_keys import KEPT_SECONDS, SigningKeySet
from callboard_edge.mcp.challenges import METADATA
from callboard_edge.oauth.endpoint import ANY_ORIGIN, preflight
from callboard_edge.web.visitor import AnyRequest

_SHARED: Final = {**ANY_ORIGIN, "Cache-Control": f"public, max-age={KEPT_SECONDS:.0f}"}
_FOLDER: Final = "/.well-known"
_METHODS: Final = (HttpMethod.GET, HttpMethod.OPTIONS)


class ResourceMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Protected-resource metadata. `resource` is the URL as it was pasted into a client."""

    resource: str
    authorization_servers: tuple[str, ...]
    scopes_supported: tuple[str, ...] = BASELINE
    bearer_methods_supported: tuple[str, ...] = ("header",)
    resource_name: str = "Callboard"


def resource_routes(keys: SigningKeySet, public_url: str) -> list[ControllerRouterHandler]:
    """The two documents, and what clients get where they look for others."""
    root = public_url.rstrip("/")
    ours = METADATA.removeprefix(_FOLDER)

    @route(_FOLDER + "/{path:path}", http_method=_METHODS, sync_to_thread=False, include_in_schema=False)
    def metadata(request: AnyRequest, path: str) -> Response[bytes]:
        if request.method == "OPTIONS":
            return _may_read()
        resource = root + path.removeprefix(ours).rstrip("/")
        if not path.startswith(ours) or resource_of(root, resource) is None:
            # There is none at the root: one resource per playbook, and it would name a parent of them all.
            return _json({"error": "not_found"}, 404)
        return _json(ResourceMetadata(resource=resource, authorization_servers=(root,)))

    @route("/jwks.json", http_method=_METHODS, include_in_schema=False)
    async def key_set(request: AnyRequest) -> Response[bytes]:
        if request.method == "OPTIONS":
            return _may_read()
        try:
            return Response(await keys.jwks(), media_type="application/json", headers=_SHARED)
        except Problem as problem:
            return _json({"error": problem.code}, problem.http_status)

    return [metadata, key_set]


def _may_read() -> Response[bytes]:
    return Response(b"", status_code=204, headers=preflight(("GET",)))


def _json(document: object, status: int = 200) -> Response[bytes]:
    headers = _SHARED if status == 200 else {**ANY_ORIGIN, "Cache-Control": "no-store"}
    return Response(msgspec.json.encode(document), status_code=status, media_type="application/json", headers=headers)
