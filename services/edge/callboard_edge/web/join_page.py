"""The text of the pages on which somebody uses an invitation."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from callboard.contracts.people import Joined, PersonLine
from callboard.contracts.problems import Problem
from callboard_edge.web.login_page import sign_out_form
from callboard_edge.web.pages import facts, hidden, note, page, problem_page

_FIELDS = (
    '<label for="email">E-mail address</label>'
    '<input id="email" name="email" type="email" autocomplete="username" maxlength="320" required value="{email}">'
    '<label for="name">Your name, as others see it</label>'
    '<input id="name" name="name" autocomplete="name" maxlength="100" value="{name}">'
    '<label for="password">Password, at least 12 characters</label>'
    '<input id="password" name="password" type="password" autocomplete="new-password" minlength="12" maxlength="128" '
    "required>"
)


def path_of(invitation: str) -> str:
    """The page of an invitation."""
    return f"/join?{urlencode({'invitation': invitation})}"


def register_page(invitation: str, csrf: str, *, email: str = "", name: str = "", error: str = "") -> str:
    """The form with which a new person joins, and the way for somebody who is one already."""
    login = f"/login?{urlencode({'next': path_of(invitation)})}"
    body = (
        "<p>You have an invitation. Choose how you sign in from now on.</p>"
        + (note(error) if error else "")
        + f'<form method="post" action="/join">{hidden(csrf=csrf, invitation=invitation)}'
        + _FIELDS.format(email=escape(email), name=escape(name))
        + '<div class="row"><button>Join</button></div></form>'
        + f'<footer>You have an account here already? <a href="{escape(login)}">Sign in</a> first.</footer>'
    )
    return page("Join Callboard", body)


def accept_page(invitation: str, person: PersonLine, proof: str, sign_out_proof: str) -> str:
    """The question to somebody who is signed in."""
    body = (
        f"<p>You are signed in as <strong>{escape(person.email)}</strong>, and have an invitation.</p>"
        f'<form method="post" action="/join">{hidden(proof=proof, invitation=invitation)}'
        '<div class="row"><button>Join as this person</button></div></form>'
    )
    return page("Join", body + sign_out_form(sign_out_proof, path_of(invitation), "Join as somebody else"))


def joined_page(joined: Joined) -> str:
    """It worked."""
    return page("Welcome", facts([("Organisation", joined.organisation), ("Your role", joined.role)]))


def failed_page(problem: Problem) -> str:
    """It did not work."""
    hints = {"auth.forbidden": "Open the link of the invitation again"}
    return problem_page("You did not join", problem, hints.get(problem.code, ""))
