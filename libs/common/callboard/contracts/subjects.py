"""Every subject on the bus, its owner, and who may use it.

Tokens of names are `[a-z0-9_-]` (the "restricted term" of NATS ADR-6). `callboard_local` and authsvc mint
credentials from `PERMISSIONS`: a room can use only the subjects listed for it here.
"""

from __future__ import annotations

# --- the path of a call (core NATS, framed payloads) -------------------------------------------------
RPC = "cb.rpc"  # cb.rpc.<organisation>.<playbook>   edge > router
CALL = "cb.call"  # cb.call.<organisation>.<server>    router > connector
RETURNED = "cb.returned"  # cb.returned.<router>.<n>      the server > router: nobody holds what was called
CANCEL = "cb.cancel"  # broadcast                         edge > connectors
CALL_HELD = "cb.ask.call_held"  # broadcast               edge > connectors

ANSWER = "cb.answer"  # cb.answer.<worker>              edge > the connector that asked a client
POSTED = "cb.posted"  # cb.posted.<holder>              edge > the edge that holds an HTTP+SSE stream
HELD = "cb.held"  # cb.held.<worker>                  router > the connector that holds a call for its client
WATCH = "cb.watch"  # cb.watch.<organisation>.<server>  edge > connectors
UPDATED = "cb.updated"  # cb.updated.<organisation>.<server>  connector > edges
REPLAY = "cb.replay"  # cb.replay.<organisation>.<session>.<stream>  edge > JetStream (CB_REPLAY) and edges
CONNECTED = "cb.ask.edge.connected"  # broadcast        router > edges
COLLECTING = "cb.ask.edge.collecting"  # cb.ask.edge.collecting.<edge>  edge > the edge that collects an answer
NEWS = "cb.ask.edge.news"  # cb.ask.edge.news.<edge>  edge > the edge that held a session's own stream

# --- commands and asks (FastStream, JSON) ------------------------------------------------------------
APPLY = "cb.cmd.organisation.apply"
ROLL_BACK = "cb.cmd.playbook.roll_back"
IMPORT_PLAYBOOK = "cb.cmd.playbook.import"
PUBLISH_DRAFT = "cb.cmd.playbook.publish"
EDIT_DRAFT = "cb.cmd.draft.edit"
REBASE_DRAFT = "cb.cmd.draft.rebase"
DISCARD_DRAFT = "cb.cmd.draft.discard"
DRAFT = "cb.ask.router.draft"
DRAFTS = "cb.ask.router.drafts"
PUBLISH_LAYER = "cb.cmd.layer.publish"
LAYER = "cb.ask.router.layer"
LAYERS = "cb.ask.router.layers"
APPROVE_DRIFT = "cb.cmd.playbook.approve_drift"
REJECT_DRIFT = "cb.cmd.playbook.reject_drift"
DRIFT = "cb.ask.router.drift"
PIN_CLIENT = "cb.cmd.playbook.pin"
UNPIN_CLIENT = "cb.cmd.playbook.unpin"
START_CANARY = "cb.cmd.playbook.start_canary"
PROMOTE_CANARY = "cb.cmd.playbook.promote_canary"
END_CANARY = "cb.cmd.playbook.end_canary"
RETIRE_PLAYBOOK = "cb.cmd.playbook.retire"
RETIRE_SERVER = "cb.cmd.server.retire"
RECORD_CATALOGUE = "cb.cmd.server.record_catalogue"
PROBE = "cb.ask.connectors.probe"
PLACE = "cb.ask.connectors.place"
CREATE_ORGANISATION = "cb.cmd.organisation.create"
CHOOSE_PLAN = "cb.cmd.organisation.choose_plan"
ISSUE_TOKEN = "cb.cmd.token.issue"
REVOKE_TOKEN = "cb.cmd.token.revoke"
ROTATE_TOKEN = "cb.cmd.token.rotate"
INVITE_MEMBER = "cb.cmd.member.invite"
WITHDRAW_INVITATION = "cb.cmd.member.withdraw"
ACCEPT_INVITATION = "cb.cmd.member.accept"
CHANGE_ROLE = "cb.cmd.member.change_role"
REMOVE_MEMBER = "cb.cmd.member.remove"
CREATE_SERVICE_ACCOUNT = "cb.cmd.member.create_account"
CREATE_PROJECT = "cb.cmd.project.create"
ASSIGN_PLAYBOOK = "cb.cmd.project.assign_playbook"
REMOVE_PROJECT = "cb.cmd.project.remove"
SIGN_IN = "cb.cmd.person.sign_in"
REGISTER = "cb.cmd.person.register"
START_EXTERNAL = "cb.cmd.person.start_external"
FINISH_EXTERNAL = "cb.cmd.person.finish_external"
RECEIVE_WEBHOOK = "cb.cmd.person.receive_webhook"
RENEW_SESSION = "cb.cmd.person.renew_session"
SIGN_OUT = "cb.cmd.person.sign_out"
CHANGE_PASSWORD = "cb.cmd.person.change_password"
OFFER_RESET = "cb.cmd.person.offer_reset"
RESET_PASSWORD = "cb.cmd.person.reset_password"
STORE_SECRET = "cb.cmd.secret.store"
DESTROY_SECRET = "cb.cmd.secret.destroy"
ROTATE_DATA_KEY = "cb.cmd.vault.rotate"
SHRED_VAULT = "cb.cmd.vault.shred"
ADMIT_CONSUMER = "cb.cmd.consumer.admit"
DISMISS_CONSUMER = "cb.cmd.consumer.dismiss"
ERASE_PERSON = "cb.cmd.person.erase"
PERSONS = "cb.ask.authsvc.persons"
OPEN_PERSONAL = "cb.ask.authsvc.open_personal"
TOKENS = "cb.ask.authsvc.tokens"
SECRETS = "cb.ask.authsvc.secrets"
CONSUMERS = "cb.ask.authsvc.consumers"
VERIFY_TOKEN = "cb.ask.authsvc.verify_token"
SESSION = "cb.ask.authsvc.session"
EXTERNAL = "cb.ask.authsvc.external"
WAYS_IN = "cb.ask.authsvc.ways_in"
MEMBERS = "cb.ask.authsvc.members"
PROJECTS = "cb.ask.authsvc.projects"
OPEN_SECRETS = "cb.ask.vault.open"
TASK_KEY = "cb.ask.vault.task_key"
UPSTREAM_TOKEN = "cb.ask.vault.upstream_token"
OPEN_SIGN_IN = "cb.ask.authsvc.open_sign_in"
UPSTREAM_SIGN_IN = "cb.ask.authsvc.sign_in"
BEGIN_SIGN_IN = "cb.ask.authsvc.begin_sign_in"
FINISH_SIGN_IN = "cb.ask.authsvc.finish_sign_in"
SIGN_INS = "cb.ask.authsvc.sign_ins"
UPSTREAM_SIGN_OUT = "cb.cmd.sign_in.out"
ORGANISATIONS = "cb.ask.projections.organisations"
PLAYBOOKS = "cb.ask.projections.playbooks"
HISTORY = "cb.ask.projections.history"
VERSION = "cb.ask.projections.version"
DIFF = "cb.ask.projections.diff"
PREVIEW = "cb.ask.router.preview"
EXPLAIN = "cb.ask.router.explain"
CANDIDATE = "cb.ask.router.candidate"  # broadcast, every router answers
USAGE = "cb.ask.router.usage"
PINS = "cb.ask.projections.pins"
EXPORT_PLAYBOOK = "cb.ask.projections.export"
RECENT_CLIENTS = "cb.ask.projections.recent_clients"
CALLERS = "cb.ask.projections.callers"
DEFINITION = "cb.ask.projections.definition"
SERVERS = "cb.ask.projections.servers"
EVENTS_ASKED = "cb.ask.projections.events"
EVENT_ASKED = "cb.ask.projections.event"
CALLS_ASKED = "cb.ask.projections.calls"
VERIFY_AUDIT = "cb.ask.projections.verify_audit"
LOG_ROWS = "cb.ask.projections.log_rows"
SIGN_ANCHOR = "cb.ask.authsvc.sign_anchor"
REBUILD = "cb.cmd.projection.rebuild"
SKIP_EVENT = "cb.cmd.projection.skip"
RETRY_EVENT = "cb.cmd.projection.retry"
REBUILD_STATE = "cb.ask.projections.rebuild"
STATUS = "cb.ask.status"  # broadcast, every room answers

# --- facts that are pushed ---------------------------------------------------------------------------
HINT = "cb.hint"  # cb.hint.<organisation>              whoever appended > everybody who follows the log
CHANGED = "cb.changed"  # cb.changed.<organisation>.<playbook>  router > edges
TOKEN_REVOKED = "cb.push.token_revoked"
RIGHTS_CHANGED = "cb.push.rights_changed"
SESSION_ENDED = "cb.push.session_ended"
SESSION_CHANGED = "cb.push.session_changed"
STREAM_OPENED = "cb.push.stream_opened"
SESSION_TOLD = "cb.push.session_told"

# --- for analytics consumers (JetStream) -------------------------------------------------------------
EVENT = "cb.evt"  # cb.evt.<organisation>.<type>        stream CB_EVENTS
RECORD = "cb.calls"  # cb.calls.<organisation>.<playbook>  stream CB_CALLS, one or more records, one per line
STREAM_EVENTS = "CB_EVENTS"
STREAM_CALLS = "CB_CALLS"
STREAM_REPLAY = "CB_REPLAY"  # events of open answers, in memory, for clients that come back for the rest
BUCKET_SESSIONS = "CB_SESSIONS"
BUCKET_LEASES = "CB_LEASES"

SEVERAL = "_"
"""Stands where a subject names a playbook, for what goes to several; no playbook can have this name."""
INBOX = "_INBOX"  # _INBOX.<room>.<instance>.<n>; a room hears only its own


def rpc(organisation: str, playbook: str) -> str:
    """Subject of a client's request to a playbook."""
    return f"{RPC}.{organisation}.{playbook}"


def call(organisation: str, server: str) -> str:
    """Subject of a call to an upstream server; whoever holds the upstream subscribes to it."""
    return f"{CALL}.{organisation}.{server}"


def answer(worker: str) -> str:
    """Subject of what a client answered to a question of this worker."""
    return f"{ANSWER}.{worker}"


def posted(holder: str) -> str:
    """Subject of what a client posted to an HTTP+SSE session that this edge holds."""
    return f"{POSTED}.{holder}"


def held(worker: str) -> str:
    """Subject of the retry of a call that this worker holds."""
    return f"{HELD}.{worker}"


def watch(organisation: str, server: str) -> str:
    """Subject of the interest in a server's resources."""
    return f"{WATCH}.{organisation}.{server}"


def updated(organisation: str, server: str) -> str:
    """Subject of "this resource changed"."""
    return f"{UPDATED}.{organisation}.{server}"


def replay(organisation: str, session: str, stream: str) -> str:
    """Subject of the kept events of one stream of a handshake session."""
    return f"{REPLAY}.{organisation}.{session}.{stream}"


def collecting(edge: str) -> str:
    """Subject of the question whether this edge still collects an answer. `edge` is its alias."""
    return f"{COLLECTING}.{edge}"


def news(edge: str) -> str:
    """Subject of the question what a session's own stream at this edge had to tell. `edge` is its alias."""
    return f"{NEWS}.{edge}"


def hint(organisation: str) -> str:
    """Subject of the wake-up after an append."""
    return f"{HINT}.{organisation}"


def changed(organisation: str, playbook: str) -> str:
    """Subject of "list again"."""
    return f"{CHANGED}.{organisation}.{playbook}"


def event(organisation: str, event_type: str) -> str:
    """Public subject of an event, for example `cb.evt.acme.playbook.published`."""
    return f"{EVENT}.{organisation}.{event_type}"


def record(organisation: str, playbook: str) -> str:
    """Public subject of call records; a message holds some of one organisation and playbook, one per line."""
    return f"{RECORD}.{organisation}.{playbook}"


def inbox(room: str) -> str:
    """Inbox prefix of a room."""
    return f"{INBOX}.{room}"


def _kv_read(bucket: str) -> tuple[str, ...]:
    return (
        f"$JS.API.STREAM.INFO.KV_{bucket}",
        f"$JS.API.DIRECT.GET.KV_{bucket}.>",
        f"$JS.API.STREAM.MSG.GET.KV_{bucket}",
        f"$JS.API.CONSUMER.CREATE.KV_{bucket}.>",
        f"$JS.API.CONSUMER.DELETE.KV_{bucket}.>",
        f"$JS.FC.KV_{bucket}.>",
    )


def _kv(bucket: str) -> tuple[str, ...]:
    return (*_kv_read(bucket), f"$KV.{bucket}.>")


ROOMS = ("edge", "router", "connectors", "authsvc", "projections")

# room -> (may publish, may subscribe); every room also hears its own inbox, and may answer what it was asked.
# Every room may ask for the status: `callboard health ROOM` does, with the room's own credentials.
PERMISSIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "edge": (
        (
            f"{RPC}.>",
            CANCEL,
            CALL_HELD,
            f"{ANSWER}.*",
            f"{POSTED}.*",
            f"{WATCH}.>",
            "cb.cmd.organisation.>",
            "cb.cmd.playbook.>",
            "cb.cmd.draft.>",
            *(f"cb.cmd.{noun}.>" for noun in ("layer", "policy")),
            RETIRE_SERVER,
            "cb.cmd.token.>",
            "cb.cmd.member.>",
            "cb.cmd.project.>",
            "cb.cmd.person.>",
            "cb.cmd.secret.>",
            "cb.cmd.sign_in.>",
            "cb.cmd.vault.>",
            "cb.cmd.consumer.>",
            "cb.cmd.webhook.>",
            ERASE_PERSON,
            "cb.cmd.projection.>",
            "cb.ask.authsvc.>",
            "cb.ask.projections.>",
            "cb.ask.router.>",
            STATUS,
            SESSION_ENDED,
            SESSION_CHANGED,
            STREAM_OPENED,
            f"{RECORD}.>",
            f"{REPLAY}.>",
            f"$JS.API.DIRECT.GET.{STREAM_REPLAY}",
            "cb.ask.edge.>",
            *_kv(BUCKET_SESSIONS),
        ),
        (
            f"{CHANGED}.>",
            f"{UPDATED}.>",
            "cb.push.>",
            f"{RECORD}.>",
            f"{EVENT}.>",
            f"{POSTED}.*",
            f"{REPLAY}.>",
            "cb.ask.edge.>",
            STATUS,
        ),
    ),
    "router": (
        (
            STATUS,
            f"{CALL}.>",
            f"{HELD}.*",
            PROBE,
            PLACE,
            CALLERS,
            RECENT_CLIENTS,
            CONNECTED,
            f"{HINT}.>",
            f"{CHANGED}.>",
            f"{RECORD}.>",
            "cb.limit.>",
            f"{INBOX}.edge.>",
        ),
        (
            f"{RPC}.>",
            f"{RETURNED}.>",
            "cb.cmd.organisation.apply",
            *(f"cb.cmd.{noun}.>" for noun in ("playbook", "draft", "layer", "policy", "server")),
            "cb.ask.router.>",
            f"{HINT}.>",
            STATUS,
        ),
    ),
    "connectors": (
        (
            STATUS,
            *(RECORD_CATALOGUE, OPEN_SECRETS, TASK_KEY, UPSTREAM_TOKEN, SESSION_TOLD),
            f"{RECORD}.>",
            f"{INBOX}.edge.>",
            # Never written to: else the server would remember the reply subject of every call for two minutes.
            f"{RETURNED}.>",
            f"{UPDATED}.>",
            "cb.worker.*",
            *_kv(BUCKET_LEASES),
        ),
        (
            f"{CALL}.>",
            f"{ANSWER}.*",
            f"{HELD}.*",
            f"{WATCH}.>",
            CANCEL,
            CALL_HELD,
            "cb.ask.connectors.>",
            f"{HINT}.>",
            "cb.worker.*",
            # Renewals of leases are seen as they are written, so that nobody has to read them all the time.
            f"$KV.{BUCKET_LEASES}.>",
            STATUS,
        ),
    ),
    "authsvc": (
        (
            STATUS,
            f"{HINT}.>",
            "cb.push.>",
            *(
                f"$JS.API.CONSUMER.{verb}.{stream}.>"
                for stream in (STREAM_EVENTS, STREAM_CALLS)
                for verb in ("CREATE", "INFO", "DELETE")
            ),
        ),
        (
            CREATE_ORGANISATION,
            CHOOSE_PLAN,
            "cb.cmd.token.>",
            "cb.cmd.member.>",
            "cb.cmd.project.>",
            "cb.cmd.person.>",
            "cb.cmd.secret.>",
            "cb.cmd.sign_in.>",
            "cb.cmd.vault.>",
            "cb.cmd.consumer.>",
            "cb.cmd.webhook.>",
            ERASE_PERSON,
            "cb.ask.authsvc.>",
            "cb.ask.vault.>",
            f"{HINT}.>",
            STATUS,
        ),
    ),
    "projections": (
        (
            STATUS,
            f"{EVENT}.>",
            PROMOTE_CANARY,
            END_CANARY,
            *(f"$JS.API.STREAM.{verb}.*" for verb in ("INFO", "CREATE", "UPDATE")),
            f"$JS.API.STREAM.MSG.GET.{STREAM_EVENTS}",
            *(f"$JS.API.CONSUMER.{verb}.{STREAM_CALLS}.>" for verb in ("CREATE", "INFO", "MSG.NEXT")),
            f"$JS.ACK.{STREAM_CALLS}.>",
            f"$JS.FC.{STREAM_CALLS}.>",
        ),
        (
            "cb.ask.projections.>",
            "cb.cmd.projection.>",
            f"{HINT}.>",
            STATUS,
        ),
    ),
}
