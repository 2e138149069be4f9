"""The text of the pages on which somebody signs in and out."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from callboard.contracts.people import PersonLine
from callboard_edge.web.pages import hidden, note, page

_FIELDS = (
    '<label for="email">E-mail address</label>'
    '<input id="email" name="email" type="email" autocomplete="username" inputmode="email" maxlength="320" required '
    'value="{email}"{first}>'
    '<label for="password">Password</label>'
    '<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1000" '
    "required{second}>"
)


def sign_in_page(next_path: str, csrf: str, *, external: bool, email: str = "", error: str = "") -> str:
    """The form with e-mail and password, and the way to the identity provider where there is one."""
    asked = _FIELDS.format(
        email=escape(email), first="" if email else " autofocus", second=" autofocus" if email else ""
    )
    body = (note(error) if error else "") + (
        f'<form method="post" action="/login">{hidden(csrf=csrf, next=next_path)}{asked}'
        '<div class="row"><button>Sign in</button></div></form>'
    )
    if external:
        there = escape(f"/login/external?{urlencode({'next': next_path})}")
        body += f'<p class="or">or</p><div class="row"><a class="button second" href="{there}">Single sign-on</a></div>'
    body += (
        "<footer>You need an invitation to become a member. Forgot the password? An administrator of this Callboard "
        "can let you set another one.</footer>"
    )
    return page("Sign in", body)


def signed_in_page(person: PersonLine, next_path: str, proof: str, *, home: bool) -> str:
    """Who is signed in. `home`: there is nowhere to go on to."""
    body = f"<p>You are signed in as <strong>{escape(person.email)}</strong>.</p>"
    if not home:
        body += f'<div class="row"><a class="button" href="{escape(next_path)}">Go on</a></div>'
    return page("Signed in", body + sign_out_form(proof, next_path))


def sign_out_form(proof: str, next_path: str, words: str = "Sign out") -> str:
    """A button that ends the session, as HTML."""
    button = f'<div class="row"><button class="second">{escape(words)}</button></div>'
    return f'<form method="post" action="/logout">{hidden(proof=proof, next=next_path)}{button}</form>'


def signed_out_page() -> str:
    """The session has ended."""
    body = '<p>You are signed out of Callboard.</p><div class="row"><a class="button" href="/login">Sign in</a></div>'
    return page("Signed out", body)
