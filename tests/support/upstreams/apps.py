"""An upstream with apps (MCP Apps, `io.modelcontextprotocol/ui`), on the official SDK.

    python -m tests.support.upstreams.apps --transport http --port 0 [--era both|2025|2026] [--site NAME]
    python -m tests.support.upstreams.apps --transport stdio [--era both|2025|2026] [--site NAME]

Tool `clock` is for everybody and says whether its caller can show the app; tool `panel` is listed for those who can.
Of the two apps `ui://NAME/clock.html` is listed and `ui://NAME/panel.html` is not.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID, client_supports_apps
from mcp.shared.exceptions import MCPDeprecationWarning

from tests.support.upstreams.everything import Everything, serve_http, serve_stdio
from tests.support.upstreams.everything_call import Context

_EMPTY = {"type": "object", "properties": {}}


class Handlers:
    """The tools and apps of one site."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.pages = {
            uri: f"<!doctype html><title>{uri}</title>Zeit: ½ ✓" for uri in map(self._uri, ("clock", "panel"))
        }

    def _uri(self, name: str) -> str:
        return f"ui://{self.site}/{name}.html"

    def _tool(self, name: str, **ui: object) -> types.Tool:
        meta = {"ui": {"resourceUri": self._uri(name), **ui}, "example.org/other": [1.0, None]}
        return types.Tool(name=name, description=f"The {name}", input_schema=_EMPTY, _meta=meta)

    async def list_tools(self, context: Context, params: object) -> types.ListToolsResult:
        panel = [self._tool("panel", visibility=["app"])] if client_supports_apps(context) else []
        return types.ListToolsResult(tools=[self._tool("clock"), *panel])

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        words = f"{self.site}: {'shown in the app' if client_supports_apps(context) else 'in words'}"
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=words)],
            structured_content={"site": self.site},
            _meta={"ui": {"resourceUri": self._uri(params.name)}},
        )

    async def list_resources(self, context: Context, params: object) -> types.ListResourcesResult:
        meta = {"ui": {"csp": {"connectDomains": ["https://example.org"]}, "prefersBorder": True}}
        uri = self._uri("clock")
        return types.ListResourcesResult(
            resources=[types.Resource(uri=uri, name=uri, mime_type=APP_MIME_TYPE, _meta=meta)]
        )

    async def read(self, context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        if params.uri not in self.pages:
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": params.uri})
        meta = {"ui": {"prefersBorder": True}}
        page = types.TextResourceContents(
            uri=params.uri, mime_type=APP_MIME_TYPE, text=self.pages[params.uri], _meta=meta
        )
        return types.ReadResourceResult(contents=[page])


def build(site: str) -> Everything:
    """The server, apart from any transport."""
    handlers = Handlers(site)
    server = Everything(
        site,
        version="1.0.0",
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_read_resource=handlers.read,
    )
    server.extensions = {EXTENSION_ID: {"mimeTypes": [APP_MIME_TYPE]}, f"org.example/{site}": {"level": 3}}
    return server


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=("http", "stdio"), default="http")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--era", choices=("both", "2025", "2026"), default="both")
    parser.add_argument("--site", default="clock")
    options = parser.parse_args(argv)
    warnings.filterwarnings("ignore", category=MCPDeprecationWarning)
    server = build(options.site)
    if options.transport == "http":
        serve_http(server, options.era, options.port)
    else:
        anyio.run(serve_stdio, server, options.era)


if __name__ == "__main__":
    main()
