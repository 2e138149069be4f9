"""The few pages there are, as text. Everything that comes from elsewhere is escaped; nothing runs in them."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import SignInFinished, UpstreamSignIn

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    # The page's own form says where it comes from; nobody else is told the link.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#1d2330}"
    "dt{color:#5b6475}dd{margin:0 0 .6rem;overflow-wrap:anywhere}button{font:inherit;padding:.5rem 1.2rem}"
)


def consent(found: UpstreamSignIn) -> str:
    """What somebody agrees to, before anything has happened."""
    whose = f"only for calls of {found.subject}" if found.subject else "for all callers of this server"
    lines = [
        ("Server", f"{found.server} ({urlsplit(found.server_url).netloc})"),
        ("Organisation", found.organisation),
        ("Used", whose),
    ]
    if found.scopes:
        lines.append(("It asks for", " ".join(found.scopes)))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines)
    text = "You will be sent to this server's own sign-in. Go on only if you asked for this link yourself."
    form = '<form method="post"><button>Sign in</button></form>'
    return _page("Connect a server to Callboard", f"<dl>{listed}</dl><p>{text}</p>{form}")


def done(found: SignInFinished) -> str:
    """It worked."""
    return _page("Connected", f"<p>Callboard is signed in to {escape(found.server)}. You can close this page.</p>")


def refused(problem: Problem) -> str:
    """It did not work."""
    return _page("Not connected", f"<p>{escape(problem.message)}.</p><p>{escape(problem.hint)}</p>")


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} - Callboard</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>{body}</html>"
    )
