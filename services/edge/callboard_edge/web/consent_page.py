"""The text of the page on which somebody lets an MCP client in."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from callboard.contracts.oauth_server import Consent
from callboard.contracts.people import PersonLine
from callboard.contracts.problems import Problem
from callboard_edge.web.login_page import sign_out_form
from callboard_edge.web.pages import WHOLE, facts, hidden, inert, note, page, problem_page, sentence

_NO_NAME = "An application without a name"


def consent_page(asked: Consent, person: PersonLine, proof: str) -> str:
    """Who asks, for what, and where the browser goes with the answer. All texts of the client are its own claims."""
    name = inert(asked.client_name).strip() or _NO_NAME
    lines = [("Application", f"{name} (the name it gives itself)")]
    if asked.client_host:
        lines.append(("Described at", inert(asked.client_host, WHOLE)))
    # A scheme of a program's own may have nothing where others have their host.
    there = inert(asked.redirect_host or asked.redirect_uri, WHOLE)
    here = urlsplit(f"//{asked.redirect_host}").hostname in ("127.0.0.1", "::1", "localhost")
    lines.append(("Sends you to", f"{there} (this computer)" if here else there))
    if asked.organisation:
        lines.append(("Organisation", asked.organisation))
    if asked.playbook or asked.union:
        lines.append(("Playbook", asked.playbook or "every playbook that you may use"))
    scopes = "".join(f"<li>{escape(sentence(scope.words))}</li>" for scope in asked.scopes)
    body = (
        f"{''.join(note(sentence(words), 'warn') for words in asked.warnings)}{facts(lines)}"
        + (f"<h2>It would be allowed to</h2><ul>{scopes}</ul>" if scopes else "<p>It asks for no rights.</p>")
        + (
            f'<p class="soft">You let this application in before, on {asked.consented_at:%d %B %Y}.</p>'
            if asked.consented_at
            else ""
        )
        + '<p class="soft">Allow only what you asked for yourself, just now, in this application.</p>'
        + _form(asked, proof)
        + f"<footer>Signed in to Callboard as {escape(person.email)}</footer>"
    )
    return page(f"Let {name} in?", body)


def _form(asked: Consent, proof: str) -> str:
    choice = ""
    if asked.organisations:
        options = "".join(f"<option>{escape(each)}</option>" for each in asked.organisations)
        choice = (
            '<label for="organisation">For which organisation?</label>'
            f'<select id="organisation" name="organisation" required>{options}</select>'
        )
    return (
        f'<form method="post">{hidden(proof=proof)}{choice}<div class="row">'
        '<button name="decision" value="allow">Allow</button>'
        '<button class="second" name="decision" value="deny">Deny</button></div></form>'
    )


def not_allowed_page(person: PersonLine, proof: str, sign_out_proof: str, path: str) -> str:
    """There is no such playbook for this person; the client can be told, or somebody else signs in."""
    body = (
        f"<p>There is no such playbook, or <strong>{escape(person.email)}</strong> may not use it.</p>"
        f'<form method="post">{hidden(proof=proof)}<div class="row">'
        '<button name="decision" value="deny">Back to the application</button></div></form>'
    )
    return page("Nothing to let it into", body + sign_out_form(sign_out_proof, path, "Sign in as somebody else"))


def failed_page(problem: Problem) -> str:
    """The request is over, or was not made in this browser."""
    return problem_page("This request cannot be answered", problem, "Begin again in the application that sent you here")
