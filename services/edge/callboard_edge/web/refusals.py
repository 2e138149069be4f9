"""What is refused before or beside a handler: a page for people, problem details for everybody else.

Unknown paths and methods, bodies that are too long or broken, and what nobody expected. A `Problem` of a page is turned
into a page where that page is, with words of its own.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Response
from litestar.exceptions import HTTPException

from callboard_edge.problems import api_problem, known_problem
from callboard_edge.web.pages import html, problem_page
from callboard_edge.web.visitor import AnyRequest

_PAGES: Final = frozenset({"login", "logout", "join", "consent", "connect"})
_BACK: Final = "/oauth/callback"


def refused(request: AnyRequest, error: Exception) -> Response[Any]:
    """The answer to any exception that no route has an answer of its own for."""
    path = request.scope["path"]
    if path.removeprefix("/").partition("/")[0] not in _PAGES and path != _BACK:
        return api_problem(request, error)
    problem, status = known_problem(request, error)
    allow = error.headers if isinstance(error, HTTPException) and status == 405 else None
    hint = "Go back, open the page again and try once more"
    return html(problem_page("That did not work", problem, hint), status, None, **(allow or {}))
