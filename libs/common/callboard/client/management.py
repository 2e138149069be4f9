"""The management API as one class, one method per route; answers are the structs of `contracts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from callboard.client.assignments import Assignments
from callboard.client.granting import Granting
from callboard.client.mcp import McpEndpoint
from callboard.client.people import People
from callboard.client.policing import Policing
from callboard.client.routes import API, SLOW_SECONDS, organisation_path, part_of, playbook_path
from callboard.client.webhooks import OutgoingWebhooks
from callboard.contracts.access import ConsumerAdmission, Consumers, Secrets, TokenIssued, Tokens
from callboard.contracts.audit import Anchor, AuditVerdict, LogRows, Witness
from callboard.contracts.calls import CallRecord
from callboard.contracts.definitions import PlaybookDefinition, ServerDefinition
from callboard.contracts.events import PublishedEvent
from callboard.contracts.layers import SYSTEM
from callboard.contracts.management import (
    Comment,
    Import,
    NewConsumer,
    NewOrganisation,
    NewSignIn,
    NewToken,
    Poison,
    ReplayCall,
    RollBack,
    SecretValue,
    SystemStatus,
    WantedState,
    WhichChain,
)
from callboard.contracts.personal import Persons
from callboard.contracts.playbooks import Applied, Done, ExportedPlaybook, ImportedPlaybook, RolledBack
from callboard.contracts.records import (
    Calls,
    Definition,
    Diff,
    Events,
    History,
    LoggedEvent,
    Organisations,
    Playbooks,
    PoisonDecided,
    Rebuilt,
    Replayed,
    Servers,
    Version,
)
from callboard.contracts.upstream_sign_in import SignInLink, SignIns


class Callboard(Assignments, Granting, People, Policing, OutgoingWebhooks):
    """A Callboard at `url`. Every method raises `Problem` when refused and `Unreachable` when nobody answers."""

    def playbook_endpoint(self, organisation: str, playbook: str) -> McpEndpoint:
        """The MCP endpoint of a playbook, as an agent sees it."""
        return McpEndpoint(self._transport, f"/p/{part_of(organisation)}/{part_of(playbook)}/mcp")

    # --- organisations ---------------------------------------------------------------------------------

    def organisations(self) -> Organisations:
        """The organisations that the token reaches."""
        return self._get("/organisations", Organisations)

    def create_organisation(self, organisation: str, title: str = "") -> Done:
        """Create an organisation; `seq` 0 when it exists."""
        return self._post("/organisations", NewOrganisation(organisation=organisation, title=title), Done)

    def apply(
        self,
        organisation: str,
        servers: dict[str, ServerDefinition],
        playbooks: dict[str, PlaybookDefinition],
        comment: str = "",
        *,
        dry_run: bool = False,
        prune: bool = False,
        accept_drift: bool = False,
    ) -> Applied:
        """Make the organisation look like this; `dry_run` only says what would change."""
        body = WantedState(
            servers=servers,
            playbooks=playbooks,
            comment=comment,
            dry_run=dry_run,
            prune=prune,
            accept_drift=accept_drift,
        )
        return self._post(f"{organisation_path(organisation)}/apply", body, Applied, timeout=SLOW_SECONDS)

    # --- servers and playbooks -------------------------------------------------------------------------

    def servers(self, organisation: str) -> Servers:
        """Registered servers."""
        return self._get(f"{organisation_path(organisation)}/servers", Servers)

    def sign_ins(self, organisation: str, server: str) -> SignIns:
        """Who is signed in to a server."""
        return self._get(_sign_ins_path(organisation, server), SignIns)

    def open_sign_in(self, organisation: str, server: str, *, own: bool = False) -> SignInLink:
        """A link to sign in with; `own`: for the calls of this token's client only."""
        return self._post(_sign_ins_path(organisation, server), NewSignIn(own=own), SignInLink)

    def sign_out(self, organisation: str, server: str, subject: str = "") -> Done:
        """Forget a sign-in; an empty subject is the one for all callers."""
        return self._delete(_sign_ins_path(organisation, server), subject=subject)

    def rotate_data_key(self, organisation: str) -> Done:
        """Seal the organisation's vault under a new data key."""
        return self._change("POST", f"{organisation_path(organisation)}/vault/rotation", Done)

    def shred_vault(self, organisation: str, comment: str) -> Done:
        """Destroy the organisation's data keys, and all that is sealed under them."""
        return self._delete(f"{organisation_path(organisation)}/vault", comment=comment)

    def retire_server(self, organisation: str, server: str, comment: str) -> Done:
        """Forget a server that no playbook uses."""
        return self._delete(f"{organisation_path(organisation)}/servers/{part_of(server)}", comment=comment)

    def playbooks(self, organisation: str) -> Playbooks:
        """Playbooks with their current versions."""
        return self._get(f"{organisation_path(organisation)}/playbooks", Playbooks)

    def history(self, organisation: str, playbook: str) -> History:
        """Every version, newest first."""
        return self._get(f"{playbook_path(organisation, playbook)}/versions", History)

    def version(self, organisation: str, playbook: str, number: int = 0, at: datetime | None = None) -> Version:
        """One version whole; 0 is the current one, or the one that was current `at` a time."""
        query = {"at": at.isoformat()} if at is not None else None
        return self._get(f"{playbook_path(organisation, playbook)}/versions/{number}", Version, query)

    def diff(self, organisation: str, playbook: str, before: int, after: int, days: int = 7) -> Diff:
        """What changes from one version to another, and who called it in the last `days`."""
        query = {"before": before, "after": after, "days": days}
        return self._get(f"{playbook_path(organisation, playbook)}/diff", Diff, query)

    def roll_back(
        self,
        organisation: str,
        playbook: str,
        to: int,
        comment: str,
        *,
        expected: int | None = None,
        dry_run: bool = False,
    ) -> RolledBack:
        """Publish the content of version `to` as the next version; `dry_run` only says what would change."""
        body = RollBack(to=to, comment=comment, expected=expected, dry_run=dry_run)
        return self._post(f"{playbook_path(organisation, playbook)}/rollback", body, RolledBack)

    def export_playbook(self, organisation: str, playbook: str) -> ExportedPlaybook:
        """The playbook with its whole history."""
        return self._get(f"{playbook_path(organisation, playbook)}/export", ExportedPlaybook)

    def import_playbook(
        self,
        organisation: str,
        playbook: str,
        exported: ExportedPlaybook,
        comment: str,
        *,
        register_servers: bool = False,
    ) -> ImportedPlaybook:
        """Make a playbook with this history, under a name that never was one."""
        body = Import(exported=exported, comment=comment, register_servers=register_servers)
        return self._post(
            f"{playbook_path(organisation, playbook)}/import", body, ImportedPlaybook, timeout=SLOW_SECONDS
        )

    def retire_playbook(self, organisation: str, playbook: str, comment: str) -> Done:
        """Stop serving a playbook; its versions stay."""
        return self._delete(playbook_path(organisation, playbook), comment=comment)

    # --- the log and the calls -------------------------------------------------------------------------

    def events(
        self, organisation: str, after: int = 0, limit: int = 200, kinds: Sequence[str] = (), *, newest: bool = False
    ) -> Events:
        """The log after `after`, oldest first: of these types (globs), or the newest. `SYSTEM`: the installation's."""
        path = "/system" if organisation == SYSTEM else organisation_path(organisation)
        query = {"after": after, "limit": limit, "newest": newest, **({"kind": list(kinds)} if kinds else {})}
        return self._get(f"{path}/events", Events, query)

    def event(self, organisation: str, event: str | int) -> LoggedEvent:
        """One event of the log, by its number or its id."""
        return self._get(f"{organisation_path(organisation)}/events/{part_of(str(event))}", LoggedEvent)

    def calls(self, organisation: str, **filters: object) -> Calls:
        """Calls, newest first, of the last 24 hours unless told otherwise; `filters` are the fields of `AskCalls`."""
        query = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in filters.items()
            if value not in (None, "")
        }
        return self._get(f"{organisation_path(organisation)}/calls", Calls, query)

    def definition(self, organisation: str, digest: str) -> Definition:
        """The definition behind the digest that a call record or a version names."""
        return self._get(f"{organisation_path(organisation)}/definitions/{part_of(digest)}", Definition)

    def replay(self, organisation: str, playbook: str, wish: ReplayCall) -> Replayed:
        """Run a recorded call again on a version of the playbook, and compare."""
        path = f"{API}{playbook_path(organisation, playbook)}/replays"
        return self._transport.ask("POST", path, Replayed, body=wish, timeout=SLOW_SECONDS)

    def tail_calls(self, organisation: str) -> Iterator[CallRecord | None]:
        """Calls as they happen, for ever. The first item is None: from there on none is missed."""
        return self._tail(f"{organisation_path(organisation)}/calls/tail", CallRecord)

    def tail_events(self, organisation: str) -> Iterator[PublishedEvent | None]:
        """Events as they are published, for ever. The first item is None: from there on none is missed."""
        return self._tail(f"{organisation_path(organisation)}/events/tail", PublishedEvent)

    # --- access ----------------------------------------------------------------------------------------

    def tokens(self, organisation: str) -> Tokens:
        """Tokens, without their values."""
        return self._get(f"{organisation_path(organisation)}/tokens", Tokens)

    def issue_token(
        self,
        organisation: str,
        client: str,
        scopes: Sequence[str] = ("use",),
        playbooks: Sequence[str] = (),
        expires_in_seconds: int | None = None,
        *,
        person: bool = False,
    ) -> TokenIssued:
        """A new client token; its value is shown this once. `person`: the client's name is one, to be sealed."""
        body = NewToken(
            client=client,
            scopes=tuple(scopes),
            playbooks=tuple(playbooks),
            expires_in_seconds=expires_in_seconds,
            person=person,
        )
        return self._post(f"{organisation_path(organisation)}/tokens", body, TokenIssued)

    def revoke_token(self, organisation: str, key_id: str, comment: str = "") -> Done:
        """Refuse a token from now on."""
        return self._delete(f"{organisation_path(organisation)}/tokens/{part_of(key_id)}", comment=comment)

    def persons(self, organisation: str) -> Persons:
        """Persons who have or had a token of their own."""
        return self._get(f"{organisation_path(organisation)}/persons", Persons)

    def erase_person(self, organisation: str, person: str, comment: str) -> Done:
        """Destroy the key of a person, by id or name, and refuse their tokens."""
        path = f"{organisation_path(organisation)}/persons/{part_of(person)}/erase"
        return self._post(path, Comment(comment=comment), Done)

    def secrets(self, organisation: str) -> Secrets:
        """Names of the secrets."""
        return self._get(f"{organisation_path(organisation)}/secrets", Secrets)

    def store_secret(self, organisation: str, secret: str, value: str) -> Done:
        """Put a value into the vault."""
        path = f"{organisation_path(organisation)}/secrets/{part_of(secret)}"
        return self._change("PUT", path, Done, SecretValue(value=value))

    def destroy_secret(self, organisation: str, secret: str) -> Done:
        """Delete every version of a secret."""
        return self._delete(f"{organisation_path(organisation)}/secrets/{part_of(secret)}")

    def consumers(self, organisation: str) -> Consumers:
        """Analytics consumers."""
        return self._get(f"{organisation_path(organisation)}/consumers", Consumers)

    def admit_consumer(self, organisation: str, consumer: str) -> ConsumerAdmission:
        """Credentials for the bus; shown this once."""
        return self._post(
            f"{organisation_path(organisation)}/consumers", NewConsumer(consumer=consumer), ConsumerAdmission
        )

    def dismiss_consumer(self, organisation: str, consumer: str) -> Done:
        """Refuse a consumer from now on."""
        return self._delete(f"{organisation_path(organisation)}/consumers/{part_of(consumer)}")

    # --- the installation ------------------------------------------------------------------------------

    def status(self) -> SystemStatus:
        """Every instance that answers."""
        return self._get("/status", SystemStatus)

    def log_rows(self, organisation: str, after: int = 0) -> LogRows:
        """The log as it was hashed, after `after`, as much as fits one answer."""
        return self._get(f"{organisation_path(organisation)}/audit/rows", LogRows, {"after": after})

    def anchor(self, organisation: str) -> Anchor:
        """The head of the log, signed."""
        return self._transport.ask("POST", f"{API}{organisation_path(organisation)}/audit/anchor", Anchor)

    def verify_audit(self, organisation: str = "", witnesses: tuple[Witness, ...] = ()) -> AuditVerdict:
        """Recompute the hash chain of an organisation, or of all; `witnesses` come from anchors."""
        body = WhichChain(organisation=organisation, witnesses=witnesses)
        return self._transport.ask("POST", f"{API}/audit/verify", AuditVerdict, body=body, timeout=SLOW_SECONDS)

    def rebuild_projection(self, projection: str) -> Rebuilt:
        """Begin to rebuild a read model."""
        return self._transport.ask("POST", f"{API}/projections/{part_of(projection)}/rebuild", Rebuilt)

    def skip_event(self, projection: str, organisation: str, seq: int, comment: str) -> PoisonDecided:
        """Have a read model pass over the event at which it stopped."""
        return self._decide(projection, "skip", organisation, seq, comment)

    def retry_event(self, projection: str, organisation: str, seq: int, comment: str = "") -> PoisonDecided:
        """Have a read model try that event now, or at its next rebuild when it was skipped."""
        return self._decide(projection, "retry", organisation, seq, comment)

    def _decide(self, projection: str, verb: str, organisation: str, seq: int, comment: str) -> PoisonDecided:
        body = Poison(organisation=organisation, seq=seq, comment=comment)
        path = f"{API}/projections/{part_of(projection)}/{verb}"
        return self._transport.ask("POST", path, PoisonDecided, body=body)

    def rebuild_state(self, projection: str) -> Rebuilt:
        """How far a rebuild is."""
        return self._get(f"/projections/{part_of(projection)}/rebuild", Rebuilt)


def _sign_ins_path(organisation: str, server: str) -> str:
    return f"{organisation_path(organisation)}/servers/{part_of(server)}/sign-ins"
