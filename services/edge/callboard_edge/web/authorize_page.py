"""The text of the page on which somebody reads why a client cannot be let in, and where the way back leads."""

from __future__ import annotations

from html import escape

from callboard_edge.web.pages import WHOLE, facts, inert, page, sentence

_MAX_WORDS = 300


def refused_page(host: str, words: str, url: str) -> str:
    """`host` is where `url` leads, with the error for the client; nobody here has let that client in before."""
    shown = inert(words, _MAX_WORDS).strip() or "The request was not a good one"
    body = (
        "<p>An application asked to be let in, in a way in which that cannot be done.</p>"
        f"{facts([('What is wrong', sentence(shown)), ('Its site', inert(host, WHOLE))])}"
        '<p class="soft">Nobody here has used this application yet. Go back only if you came from that site.</p>'
        f'<div class="row"><a class="button second" rel="noreferrer" href="{escape(url)}">Back to the application</a>'
        "</div>"
    )
    return page("The application cannot be let in", body)
