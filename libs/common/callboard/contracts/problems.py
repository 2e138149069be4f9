"""The one typed error that crosses the bus, and the list of its codes.

Above it: the edge turns a `Problem` into a JSON-RPC error or an HTTP problem (`callboard_edge.problems`).
Below it: nothing. A code is `<noun>.<reason>` and never changes its meaning.

    Problem                     any expected refusal or failure
      (code decides what the edge answers; see CODES)
"""

from __future__ import annotations

from typing import Any

import msgspec

# code -> (JSON-RPC error code, HTTP status of the management API, what a person can do about it)
CODES: dict[str, tuple[int, int, str]] = {
    "argument.invalid": (-32602, 400, "Correct the named argument and send the request again."),
    "auth.required": (
        -32001,
        401,
        "Send `Authorization: Bearer <token>`; `callboard token issue` makes one.",
    ),
    "auth.invalid": (-32001, 401, "The token is unknown, expired or revoked; issue another one."),
    "auth.forbidden": (-32003, 403, "The token does not allow this; use one that does."),
    "auth.malformed": (-32600, 400, "Send `Authorization: Bearer <token>`, once."),
    "auth.scope_insufficient": (-32003, 403, "Let the client ask for the scopes named, or sign in to it again."),
    "bus.unavailable": (-32603, 503, "A service of Callboard is down or restarting; try again in a moment."),
    "call.cancelled": (-32800, 409, "The caller cancelled the request."),
    "call.deadline_exceeded": (-32001, 504, "The upstream took longer than the deadline; raise it or retry."),
    "call.held_lost": (
        -32603,
        502,
        "The worker that held the call for your answer is gone; send the request again from the start.",
    ),
    "call.not_replayable": (-32602, 409, "A call runs again when its playbook records arguments (`record:`)."),
    "call.unknown": (-32602, 404, "List them with `callboard calls ls`; a record may take a second to arrive."),
    "call.state_invalid": (-32602, 400, "Send the requestState back as it came, once, with the same request."),
    "call.outcome_unknown": (
        -32001,
        502,
        "The tool may or may not have run; it was not sent again. Check its effect before a retry.",
    ),
    "calls.too_many": (-32602, 400, "Give a later `since`, an earlier `until`, or another filter."),
    "canary.running": (-32602, 409, "Stop or promote it first with `callboard playbook canary NAME`."),
    "canary.unknown": (-32602, 404, "It may have ended by itself; `callboard events ls` says how and why."),
    "capability.required": (-32021, 400, "Declare the capability that `requiredCapabilities` names with the request."),
    "command.reused": (-32602, 409, "The command id was used for another request; make a new one."),
    "comment.required": (-32602, 400, "Say why with -m; a playbook with `comments: optional` waives it."),
    "consent.unknown": (
        -32602,
        404,
        "It was decided, is over, or is another browser's; begin again in the client.",
    ),
    "consumer.exists": (-32602, 409, "Choose another name or remove the consumer first."),
    "consumer.unknown": (-32602, 404, "List them with `callboard consumer ls`."),
    "cursor.invalid": (-32602, 400, "The list has changed since; ask for its first page again."),
    "database.unavailable": (-32603, 503, "Postgres is down or restarting; try again in a moment."),
    "definition.unknown": (-32602, 404, "`callboard calls show ID` and `playbook show` print digests."),
    "draft.conflict": (
        -32602,
        409,
        "Edit the draft so that both sides say the same there, or let one win with --prefer draft|version.",
    ),
    "draft.stale": (
        -32602,
        409,
        "Somebody edited the draft in between; look at it and edit again.",
    ),
    "draft.outdated": (-32602, 409, "Take what was published since into the draft with `callboard draft rebase`."),
    "draft.unknown": (-32602, 404, "Begin one with `callboard draft set` or `callboard draft edit`."),
    "drift.stale": (-32602, 409, "It changed once more; look with `callboard drift show` and decide again."),
    "drift.unknown": (-32602, 404, "List what is held with `callboard drift ls`."),
    "endpoint.unreachable": (
        -32603,
        503,
        "Look whether the gateway runs, then send the request again; it had no effect, or repeating it is safe.",
    ),
    "events.too_many": (-32602, 400, "Ask from a later number on (`after`), for other kinds, or for all of them."),
    "event.unknown": (-32602, 404, "List them with `callboard events ls`; the number is that of its organisation."),
    "file.invalid": (-32602, 400, "Correct the file at the line named."),
    "grant.unknown": (-32602, 404, "List them with `GET /api/v1/me/grants`, or `/organisations/ORG/grants`."),
    "header.mismatch": (-32020, 400, "Send the headers that mirror the body, or none."),
    "internal.unexpected": (-32603, 500, "Look for the call id in the service's log."),
    "invitation.unknown": (-32602, 404, "The link was used, withdrawn or has expired; ask for another one."),
    "limit.exceeded": (-32003, 429, "Wait as long as `retry_after` says, then try again."),
    "limit.uncounted": (-32603, 503, "What counts calls is away; the call was not sent. Try again in a moment."),
    "login.refused": (-32001, 401, "Check the e-mail address and the password; an administrator can reset it."),
    "login.unavailable": (-32603, 503, "The identity provider is away or not set up; try again, or use a password."),
    "login.too_many": (-32003, 429, "Wait as long as `Retry-After` says, then try again."),
    "member.exists": (-32602, 409, "It is a member already; `callboard member role` gives another role."),
    "member.last_owner": (-32602, 409, "Make somebody else an owner first."),
    "member.unknown": (-32602, 404, "List them with `callboard member ls`."),
    "layer.revision_stale": (-32602, 409, "Somebody published it in between; look with `callboard layer show`."),
    "layer.version_unknown": (-32602, 404, "List its versions with `callboard layer show`."),
    "method.unknown": (-32601, 404, "The playbook's servers do not offer this method."),
    "override.conflict": (-32602, 409, "Change the override in the file so that it fits the tool, and apply it."),
    "oauth.refused": (-32602, 400, "`error` says why, in the words of RFC 6749; the client has to ask otherwise."),
    "oauth.too_many": (-32003, 429, "Wait as long as `Retry-After` says, then try again."),
    "oauth_client.unknown": (-32602, 404, "List them with `GET /api/v1/organisations/ORG/oauth-clients`."),
    "organisation.exists": (-32602, 409, "Choose another name."),
    "organisation.unknown": (-32602, 404, "List them with `callboard status`."),
    "payload.too_large": (-32600, 413, "Send a smaller body, or raise CALLBOARD_EDGE_MAX_BODY_BYTES."),
    "person.exists": (-32602, 409, "Sign in with this e-mail address, then accept the invitation."),
    "person.named": (-32602, 409, "Take the name out of the policy, issue the token, then name the person again."),
    "person.unknown": (-32602, 404, "List them with `callboard person ls`."),
    "policy.denied": (-32602, 409, "`callboard policy explain` says which rule decides, and why."),
    "policy.invalid": (
        -32602,
        400,
        "Correct the policy where `faults` says; `callboard policy set --dry-run` tries it.",
    ),
    "policy.unknown": (-32602, 404, "List them with `callboard policy ls`."),
    "playbook.collision": (-32602, 409, "Give one of the two servers another prefix or rename the tool."),
    "playbook.exists": (-32602, 409, "Choose another name; the history of a playbook is never overwritten."),
    "playbook.empty": (-32602, 400, "A playbook needs at least one server or prompt."),
    "playbook.revision_stale": (
        -32602,
        409,
        "Somebody published in between; look at `history` and try again.",
    ),
    "playbook.unknown": (-32602, 404, "List them with `callboard playbook ls`."),
    "playbook.version_unknown": (-32602, 404, "List the versions with `callboard playbook history`."),
    "projection.not_stopped": (-32602, 409, "List what stops one with `callboard projection ls`."),
    "project.unknown": (-32602, 404, "List them with `callboard project ls`."),
    "projection.unknown": (-32602, 404, "List them with `callboard status`."),
    "projection.rebuilding": (-32602, 409, "Wait until the running rebuild has ended."),
    "prompt.held": (
        -32602,
        409,
        "The server changed it; an operator looks with `callboard drift show` and decides with `drift approve`.",
    ),
    "prompt.unknown": (-32602, 404, "List them with prompts/list."),
    "resource.unknown": (-32602, 404, "List them with resources/list."),
    "quota.exceeded": (-32003, 429, "Look at `callboard org show`; an administrator gives another plan."),
    "reset.unknown": (-32602, 404, "The link was used or has expired; ask for another one."),
    "route.unknown": (-32601, 404, "Look at /docs for the routes there are."),
    "secret.unreadable": (-32603, 500, "Restore the vault's key file, or store the secret again."),
    "secret.unknown": (-32602, 404, "Store it with `callboard secret set NAME`."),
    "server.in_use": (-32602, 409, "Take the server out of the playbooks that use it first."),
    "server.unavailable": (-32603, 502, "Look at `callboard status`: the server does not answer."),
    "server.invalid_answer": (-32603, 502, "The server does not speak MCP here; check its URL or command."),
    "server.sign_in_failed": (
        -32603,
        502,
        "Look at the server's `oauth` in its definition; then sign in again with `callboard server connect NAME`.",
    ),
    "server.sign_in_needed": (-32003, 409, "Open the link; an operator gets one with `callboard server connect NAME`."),
    "server.too_talkative": (
        -32603,
        502,
        "The tool may have run; let the server send fewer notifications during a call.",
    ),
    "server.unknown": (-32602, 404, "List them with `callboard server ls`."),
    "session.busy": (-32000, 429, "Wait for answers before you send more requests."),
    "session.unknown": (-32001, 404, "The session has ended; open another stream and initialize again."),
    "sign_in.unknown": (
        -32602,
        404,
        "Make the call again, or ask for a new link with `callboard server connect NAME`.",
    ),
    "task.unknown": (
        -32602,
        404,
        "The task expired, is another caller's, or its server was removed; make the call again if you need its result.",
    ),
    "token.unknown": (-32602, 404, "List them with `callboard token ls`."),
    "tool.held": (
        -32602,
        409,
        "The server changed it; an operator looks with `callboard drift show` and decides with `drift approve`.",
    ),
    "tool.unknown": (-32602, 404, "List them with `callboard tools ls`."),
    "webhook.exists": (-32602, 409, "Choose another name, or delete the webhook first."),
    "webhook.unknown": (-32602, 404, "List them with `callboard webhook ls`."),
    "tool.quarantined": (-32602, 409, "The tool's definition is not valid; `callboard status` says why."),
}


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, tag="problem", tag_field="type"):
    """A `Problem` as it travels: `data` holds only what the caller may see."""

    code: str
    message: str
    data: dict[str, Any] = {}


class Problem(Exception):
    """An expected refusal or failure with a stable code from `CODES`."""

    def __init__(self, code: str, message: str, **data: Any) -> None:
        if code not in CODES:
            raise ValueError(f"unlisted problem code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    @property
    def rpc_code(self) -> int:
        """The JSON-RPC 2.0 error code of this problem."""
        return CODES[self.code][0]

    @property
    def http_status(self) -> int:
        """The HTTP status that the management API answers with."""
        return CODES[self.code][1]

    @property
    def hint(self) -> str:
        """What a person can do about it."""
        return CODES[self.code][2]

    def body(self) -> ProblemBody:
        """The form that crosses the bus."""
        return ProblemBody(code=self.code, message=self.message, data=self.data)

    @classmethod
    def from_body(cls, body: ProblemBody) -> Problem:
        """Rebuild a problem that came over the bus; an unknown code (a newer peer) becomes unexpected."""
        if body.code not in CODES:
            return cls("internal.unexpected", body.message, **{**body.data, "peer_code": body.code})
        return cls(body.code, body.message, **body.data)
