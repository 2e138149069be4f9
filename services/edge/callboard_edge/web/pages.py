"""The frame of every page: one style, one set of headers. Everything that comes from elsewhere is escaped; no page runs
a script.

Above: the handlers of this folder, which send them. Beside: the text of each page (`login_page.py`, `connect_page.py`).
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from litestar import MediaType, Response
from litestar.datastructures import Cookie

from callboard.contracts.problems import Problem

Page = Response[Any]
STYLE: Final = """
:root{color-scheme:light dark;--page:#f3f4f7;--card:#fff;--line:#dde1e8;--text:#1a2130;--soft:#586174;--main:#2f5bd7;
--on-main:#fff;--bad:#a3211a;--bad-back:#fdeeec;--warn:#7a4b00;--warn-back:#fff5df}
@media (prefers-color-scheme:dark){:root{--page:#12151c;--card:#1b202a;--line:#323a49;--text:#e7eaf1;--soft:#a3acbd;
--main:#8aaaff;--on-main:#10172a;--bad:#ffb0a8;--bad-back:#3a1e1d;--warn:#ffd48a;--warn-back:#352a14}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100svh;display:grid;place-items:center;padding:1.5rem 1rem;
background:var(--page);color:var(--text);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:27rem;background:var(--card);border:1px solid var(--line);border-radius:.9rem;padding:1.75rem;
box-shadow:0 .6rem 2rem rgb(0 0 0/.07)}
.brand{display:flex;align-items:center;gap:.55rem;color:var(--soft);font-weight:600;margin:0 0 1.25rem}
.brand svg{width:1.4rem;height:1.4rem;color:var(--main)}
h1{font-size:1.4rem;line-height:1.25;margin:0 0 1rem;text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:1rem;margin:1.25rem 0 .35rem}
p{margin:0 0 .9rem;overflow-wrap:anywhere}
.soft{color:var(--soft)}
dl{margin:1rem 0;border:1px solid var(--line);border-radius:.6rem}
dl div{padding:.5rem .8rem;display:flex;flex-wrap:wrap;gap:0 .75rem}
dl div+div{border-top:1px solid var(--line)}
dt{color:var(--soft);flex:0 0 8.5rem}
dd{margin:0;flex:1 1 11rem;overflow-wrap:anywhere}
ul{margin:.25rem 0 1rem;padding-left:1.2rem}
li{overflow-wrap:anywhere}
label{display:block;font-weight:600;margin:0 0 .3rem}
input,select{width:100%;font:inherit;color:inherit;background:var(--page);border:1px solid var(--soft);
border-radius:.5rem;padding:.6rem .7rem;margin:0 0 1rem}
.row{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.25rem 0 0}
button,a.button{flex:1 1 9rem;font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer;
padding:.65rem 1rem;border-radius:.5rem;border:1px solid var(--main);background:var(--main);color:var(--on-main)}
button.second,a.second{background:transparent;color:inherit;border-color:var(--soft)}
form{margin:0}
a{color:var(--main)}
:focus-visible{outline:3px solid var(--main);outline-offset:2px}
.note{border-radius:.5rem;padding:.65rem .8rem;margin:0 0 1rem}
.bad{color:var(--bad);background:var(--bad-back)}
.warn{color:var(--warn);background:var(--warn-back)}
.or{display:flex;align-items:center;gap:.75rem;color:var(--soft);margin:1.25rem 0}
.or::before,.or::after{content:"";flex:1;border-top:1px solid var(--line)}
footer{margin:1.25rem 0 0;padding:1rem 0 0;border-top:1px solid var(--line);color:var(--soft);font-size:.9rem}
@media (max-width:30rem){body{padding:0;place-items:stretch}
main{max-width:none;border:0;border-radius:0;box-shadow:none}}
"""
_MARK = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" '
    'aria-hidden="true"><rect x="3" y="3" width="18" height="18" rx="4"/><path d="M7.5 9h9M7.5 12.5h9M7.5 16h5"/></svg>'
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    # No `form-action`: browsers hold it against every redirect that follows a form, and consent leads to foreign hosts.
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "frame-ancestors 'none'",
    # A page's own form says where it comes from; nobody else is told the link.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
WHOLE: Final = 2000
"""For `inert`: as long as a URL may be. Whose a host is, its end says, so that a host is never shortened."""


def page(title: str, body: str) -> str:
    """A whole page. `title` is text, `body` is HTML that is made of escaped text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - Callboard</title><style>{STYLE}</style></head>"
        f'<body><main><p class="brand">{_MARK}Callboard</p><h1>{escape(title)}</h1>{body}</main></body></html>'
    )


def facts(lines: Iterable[tuple[str, str]]) -> str:
    """A list of names and texts, as HTML."""
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in lines)
    return f"<dl>{shown}</dl>"


def note(text: str, kind: str = "bad") -> str:
    """A text that must not be overlooked, as HTML. `kind`: "bad" or "warn"."""
    return f'<p class="note {kind}" role="alert">{escape(text)}</p>'


def hidden(**fields: str) -> str:
    """Fields of a form that nobody sees, as HTML."""
    return "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())


def inert(text: str, most: int = 100) -> str:
    """A text that somebody else chose, in one line, without what would hide or reorder it, and not too long."""
    shown = "".join(each for each in text if not unicodedata.category(each).startswith(("C", "Zl", "Zp")))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def sentence(text: str) -> str:
    """A message of ours, which has no full stop, as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def problem_page(title: str, problem: Problem, hint: str = "") -> str:
    """Something was refused or did not work; `hint` in the place of the code's own, which speaks to developers."""
    words = escape(sentence(problem.message))
    return page(title, f'<p>{words}</p><p class="soft">{escape(sentence(hint or problem.hint))}</p>')


def html(text: str, status: int = 200, cookies: list[Cookie] | None = None, **headers: str) -> Page:
    """Send a page; `headers` with `_` for `-`."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        text, status_code=status, media_type=MediaType.HTML, headers={**HEADERS, **more}, cookies=cookies or []
    )


def sent_on(url: str, cookies: list[Cookie] | None = None, **headers: str) -> Page:
    """Send the browser elsewhere, with a GET."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response("", status_code=303, headers={**HEADERS, "Location": url, **more}, cookies=cookies or [])
