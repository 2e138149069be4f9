"""The text of the pages on which somebody connects an upstream server."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from callboard.contracts.people import PersonLine
from callboard.contracts.problems import Problem
from callboard.contracts.upstream_sign_in import SignInFinished, UpstreamSignIn
from callboard_edge.web.login_page import sign_out_form
from callboard_edge.web.pages import facts, hidden, page, problem_page


def agree_page(found: UpstreamSignIn, person: PersonLine, proof: str) -> str:
    """What somebody agrees to, before anything has happened."""
    lines = [
        ("Server", f"{found.server} ({urlsplit(found.server_url).netloc})"),
        ("Organisation", found.organisation),
        ("Used", _used(found, person)),
    ]
    if found.scopes:
        lines.append(("It asks for", " ".join(found.scopes)))
    text = "You will be sent to this server's own sign-in. Go on only if you asked for this link yourself."
    form = f'<form method="post">{hidden(proof=proof)}<div class="row"><button>Go on and sign in</button></div></form>'
    foot = f"<footer>Signed in to Callboard as {escape(person.email)}</footer>"
    return page("Connect a server to Callboard", f"{facts(lines)}<p>{text}</p>{form}{foot}")


def _used(found: UpstreamSignIn, person: PersonLine) -> str:
    if not found.subject:
        return "for all callers of this server"
    return "only for your own calls" if found.subject == person.person else f"only for calls of {found.subject}"


def done_page(found: SignInFinished) -> str:
    """It worked."""
    text = f"Callboard is signed in to {escape(found.server)}. You can close this page and go back to where you were."
    return page("Connected", f"<p>{text}</p>")


def other_person_page(person: PersonLine, proof: str, path: str) -> str:
    """The link is somebody else's."""
    body = (
        f"<p>You are signed in as <strong>{escape(person.email)}</strong>, and this link is for somebody else. "
        "Nothing was connected.</p>"
        '<p class="soft">If somebody sent you this link, do not go on: it would lend your account to their calls.</p>'
    )
    return page("This link is not for you", body + sign_out_form(proof, path, "Sign in as somebody else"))


def failed_page(problem: Problem) -> str:
    """It did not work."""
    again = "Open the link again, in the browser in which you are signed in to Callboard"
    hints = dict.fromkeys(("auth.forbidden", "auth.required", "auth.invalid"), again)
    return problem_page("Not connected", problem, hints.get(problem.code, ""))
