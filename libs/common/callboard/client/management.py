"""The management API as one class, one method per route; answers are the structs of `contracts`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import quote

import msgspec

from callboard.client.mcp import McpEndpoint
from callboard.client.transport import Transport
from callboard.contracts.access import ConsumerAdmission, Consumers, Secrets, TokenIssued, Tokens
from callboard.contracts.assignments import Pins
from callboard.contracts.audit import Anchor, AuditVerdict, LogRows, Witness
from callboard.contracts.calls import CallRecord
from callboard.contracts.definitions import PlaybookDefinition, ServerDefinition
from callboard.contracts.events import PublishedEvent
from callboard.contracts.management import (
    Comment,
    Import,
    NewCanary,
    NewConsumer,
    NewOrganisation,
    NewToken,
    Pin,
    ReplayCall,
    RollBack,
    Scope,
    SecretValue,
    SystemStatus,
    WantedState,
    WhichChain,
)
from callboard.contracts.playbooks import Applied, Done, ExportedPlaybook, ImportedPlaybook, RolledBack
from callboard.contracts.previews import Explanation, Preview
from callboard.contracts.records import (
    Calls,
    Definition,
    Diff,
    Events,
    History,
    Organisations,
    Playbooks,
    Rebuilt,
    Replayed,
    Servers,
    Version,
)

Answer = TypeVar("Answer")
API: Final = "/api/v1"
_SLOW_SECONDS: Final = 150.0
"""Applying and verifying may take the edge two minutes."""


class Callboard:
    """A Callboard at `url`. Every method raises `Problem` when refused and `Unreachable` when nobody answers."""

    def __init__(self, url: str, token: str = "", *, timeout: float = 30.0) -> None:
        self._transport = Transport(url, token, timeout=timeout)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where this Callboard is."""
        return self._transport.url

    def playbook_endpoint(self, organisation: str, playbook: str) -> McpEndpoint:
        """The MCP endpoint of a playbook, as an agent sees it."""
        return McpEndpoint(self._transport, f"/p/{_part(organisation)}/{_part(playbook)}/mcp")

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
    ) -> Applied:
        """Make the organisation look like this; `dry_run` only says what would change."""
        body = WantedState(servers=servers, playbooks=playbooks, comment=comment, dry_run=dry_run, prune=prune)
        return self._post(f"{_organisation(organisation)}/apply", body, Applied, timeout=_SLOW_SECONDS)

    # --- servers and playbooks -------------------------------------------------------------------------

    def servers(self, organisation: str) -> Servers:
        """Registered servers."""
        return self._get(f"{_organisation(organisation)}/servers", Servers)

    def retire_server(self, organisation: str, server: str, comment: str) -> Done:
        """Forget a server that no playbook uses."""
        return self._delete(f"{_organisation(organisation)}/servers/{_part(server)}", comment=comment)

    def playbooks(self, organisation: str) -> Playbooks:
        """Playbooks with their current versions."""
        return self._get(f"{_organisation(organisation)}/playbooks", Playbooks)

    def history(self, organisation: str, playbook: str) -> History:
        """Every version, newest first."""
        return self._get(f"{_playbook(organisation, playbook)}/versions", History)

    def version(self, organisation: str, playbook: str, number: int = 0, at: datetime | None = None) -> Version:
        """One version whole; 0 is the current one, or the one that was current `at` a time."""
        query = {"at": at.isoformat()} if at is not None else None
        return self._get(f"{_playbook(organisation, playbook)}/versions/{number}", Version, query)

    def diff(self, organisation: str, playbook: str, before: int, after: int, days: int = 7) -> Diff:
        """What changes from one version to another, and who called it in the last `days`."""
        query = {"before": before, "after": after, "days": days}
        return self._get(f"{_playbook(organisation, playbook)}/diff", Diff, query)

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
        return self._post(f"{_playbook(organisation, playbook)}/rollback", body, RolledBack)

    def export_playbook(self, organisation: str, playbook: str) -> ExportedPlaybook:
        """The playbook with its whole history."""
        return self._get(f"{_playbook(organisation, playbook)}/export", ExportedPlaybook)

    def import_playbook(
        self, organisation: str, playbook: str, exported: ExportedPlaybook, comment: str
    ) -> ImportedPlaybook:
        """Make a playbook with this history, under a name that never was one."""
        body = Import(exported=exported, comment=comment)
        return self._post(f"{_playbook(organisation, playbook)}/import", body, ImportedPlaybook, timeout=_SLOW_SECONDS)

    def retire_playbook(self, organisation: str, playbook: str, comment: str) -> Done:
        """Stop serving a playbook; its versions stay."""
        return self._delete(_playbook(organisation, playbook), comment=comment)

    def pins(self, organisation: str, playbook: str = "") -> Pins:
        """Which clients are served a version of their own; of every playbook when none is named."""
        base = _playbook(organisation, playbook) if playbook else _organisation(organisation)
        return self._get(f"{base}/pins", Pins)

    def pin(self, organisation: str, playbook: str, client: str, version: int, comment: str) -> Done:
        """Serve a client this version from now on; `seq` 0 when that is how it was."""
        path = f"{_playbook(organisation, playbook)}/pins/{_part(client)}"
        return self._change("PUT", path, Done, Pin(version=version, comment=comment))

    def unpin(self, organisation: str, playbook: str, client: str, comment: str) -> Done:
        """Serve a client what everybody is served; `seq` 0 when it was not pinned."""
        return self._delete(f"{_playbook(organisation, playbook)}/pins/{_part(client)}", comment=comment)

    def start_canary(
        self,
        organisation: str,
        playbook: str,
        version: int,
        comment: str,
        *,
        percent: float,
        until: datetime,
        condition: str,
        min_calls: int = 50,
    ) -> Done:
        """Try a version on a share of the callers until a time, or until `condition` (like `errors > 2%`) holds."""
        body = NewCanary(
            version=version, percent=percent, until=until, condition=condition, min_calls=min_calls, comment=comment
        )
        return self._post(f"{_playbook(organisation, playbook)}/canary", body, Done)

    def promote_canary(self, organisation: str, playbook: str, comment: str) -> Done:
        """Publish the content of the version that is tried."""
        return self._post(f"{_playbook(organisation, playbook)}/canary/promote", Comment(comment=comment), Done)

    def stop_canary(self, organisation: str, playbook: str, comment: str) -> Done:
        """Serve everybody the current version again."""
        return self._post(f"{_playbook(organisation, playbook)}/canary/stop", Comment(comment=comment), Done)

    def preview(
        self,
        organisation: str,
        playbook: str,
        client: str,
        era: Literal["2026", "2025"] = "2026",
        version: int = 0,
        at: datetime | None = None,
    ) -> Preview:
        """What this client's list requests return, now or `at` a time, and what is hidden and why."""
        query = {"client": client, "era": era, "version": version}
        moment = {"at": at.isoformat()} if at is not None else {}
        path = f"{_playbook(organisation, playbook)}/preview"
        return self._transport.ask("GET", API + path, Preview, query={**query, **moment}, timeout=_SLOW_SECONDS)

    def explain(self, organisation: str, playbook: str, tool: str, version: int = 0) -> Explanation:
        """Which rules show, hide or rename a tool."""
        query = {"tool": tool, "version": version}
        return self._get(f"{_playbook(organisation, playbook)}/explain", Explanation, query)

    # --- the log and the calls -------------------------------------------------------------------------

    def events(self, organisation: str, after: int = 0, limit: int = 200) -> Events:
        """The log after `after`, oldest first."""
        return self._get(f"{_organisation(organisation)}/events", Events, {"after": after, "limit": limit})

    def calls(self, organisation: str, **filters: object) -> Calls:
        """Calls, newest first, of the last 24 hours unless told otherwise; `filters` are the fields of `AskCalls`."""
        query = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in filters.items()
            if value not in (None, "")
        }
        return self._get(f"{_organisation(organisation)}/calls", Calls, query)

    def definition(self, organisation: str, digest: str) -> Definition:
        """The definition behind the digest that a call record or a version names."""
        return self._get(f"{_organisation(organisation)}/definitions/{_part(digest)}", Definition)

    def replay(self, organisation: str, playbook: str, wish: ReplayCall) -> Replayed:
        """Run a recorded call again on a version of the playbook, and compare."""
        path = f"{API}{_playbook(organisation, playbook)}/replays"
        return self._transport.ask("POST", path, Replayed, body=wish, timeout=_SLOW_SECONDS)

    def tail_calls(self, organisation: str) -> Iterator[CallRecord | None]:
        """Calls as they happen, for ever. The first item is None: from there on none is missed."""
        return self._tail(f"{_organisation(organisation)}/calls/tail", CallRecord)

    def tail_events(self, organisation: str) -> Iterator[PublishedEvent | None]:
        """Events as they are published, for ever. The first item is None: from there on none is missed."""
        return self._tail(f"{_organisation(organisation)}/events/tail", PublishedEvent)

    # --- access ----------------------------------------------------------------------------------------

    def tokens(self, organisation: str) -> Tokens:
        """Tokens, without their values."""
        return self._get(f"{_organisation(organisation)}/tokens", Tokens)

    def issue_token(
        self,
        organisation: str,
        client: str,
        scopes: Sequence[Scope] = ("use",),
        playbooks: Sequence[str] = (),
        expires_in_seconds: int | None = None,
    ) -> TokenIssued:
        """A new client token; its value is shown this once."""
        body = NewToken(
            client=client,
            scopes=tuple(scopes),
            playbooks=tuple(playbooks),
            expires_in_seconds=expires_in_seconds,
        )
        return self._post(f"{_organisation(organisation)}/tokens", body, TokenIssued)

    def revoke_token(self, organisation: str, key_id: str, comment: str = "") -> Done:
        """Refuse a token from now on."""
        return self._delete(f"{_organisation(organisation)}/tokens/{_part(key_id)}", comment=comment)

    def secrets(self, organisation: str) -> Secrets:
        """Names of the secrets."""
        return self._get(f"{_organisation(organisation)}/secrets", Secrets)

    def store_secret(self, organisation: str, secret: str, value: str) -> Done:
        """Put a value into the vault."""
        path = f"{_organisation(organisation)}/secrets/{_part(secret)}"
        return self._change("PUT", path, Done, SecretValue(value=value))

    def destroy_secret(self, organisation: str, secret: str) -> Done:
        """Delete every version of a secret."""
        return self._delete(f"{_organisation(organisation)}/secrets/{_part(secret)}")

    def consumers(self, organisation: str) -> Consumers:
        """Analytics consumers."""
        return self._get(f"{_organisation(organisation)}/consumers", Consumers)

    def admit_consumer(self, organisation: str, consumer: str) -> ConsumerAdmission:
        """Credentials for the bus; shown this once."""
        return self._post(f"{_organisation(organisation)}/consumers", NewConsumer(consumer=consumer), ConsumerAdmission)

    def dismiss_consumer(self, organisation: str, consumer: str) -> Done:
        """Refuse a consumer from now on."""
        return self._delete(f"{_organisation(organisation)}/consumers/{_part(consumer)}")

    # --- the installation ------------------------------------------------------------------------------

    def status(self) -> SystemStatus:
        """Every instance that answers."""
        return self._get("/status", SystemStatus)

    def log_rows(self, organisation: str, after: int = 0) -> LogRows:
        """The log as it was hashed, after `after`, as much as fits one answer."""
        return self._get(f"{_organisation(organisation)}/audit/rows", LogRows, {"after": after})

    def anchor(self, organisation: str) -> Anchor:
        """The head of the log, signed."""
        return self._transport.ask("POST", f"{API}{_organisation(organisation)}/audit/anchor", Anchor)

    def verify_audit(self, organisation: str = "", witnesses: tuple[Witness, ...] = ()) -> AuditVerdict:
        """Recompute the hash chain of an organisation, or of all; `witnesses` come from anchors."""
        body = WhichChain(organisation=organisation, witnesses=witnesses)
        return self._transport.ask("POST", f"{API}/audit/verify", AuditVerdict, body=body, timeout=_SLOW_SECONDS)

    def rebuild_projection(self, projection: str) -> Rebuilt:
        """Begin to rebuild a read model."""
        return self._transport.ask("POST", f"{API}/projections/{_part(projection)}/rebuild", Rebuilt)

    def rebuild_state(self, projection: str) -> Rebuilt:
        """How far a rebuild is."""
        return self._get(f"/projections/{_part(projection)}/rebuild", Rebuilt)

    # ---------------------------------------------------------------------------------------------------

    def _get(self, path: str, answer: type[Answer], query: Mapping[str, Any] | None = None) -> Answer:
        return self._transport.ask("GET", API + path, answer, query=query)

    def _post(self, path: str, body: msgspec.Struct, answer: type[Answer], timeout: float | None = None) -> Answer:
        return self._change("POST", path, answer, body, timeout=timeout)

    def _delete(self, path: str, **query: str) -> Done:
        return self._change("DELETE", path, Done, query=query)

    def _change(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        body: msgspec.Struct | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return self._transport.ask(method, API + path, answer, body=body, query=query, headers=headers, timeout=timeout)

    def _tail(self, path: str, item: type[Answer]) -> Iterator[Answer | None]:
        decode = msgspec.json.Decoder(item).decode
        with self._transport.stream("GET", API + path) as response:
            if response.status_code != 200:
                response.read()
                raise self._transport.problem_of(response)
            # An event of ours is always one line, so nothing has to be joined.
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield decode(line[6:])
                elif line == ": following":
                    yield None


def _part(name: str) -> str:
    return quote(name, safe="")


def _organisation(name: str) -> str:
    return f"/organisations/{_part(name)}"


def _playbook(organisation: str, name: str) -> str:
    return f"{_organisation(organisation)}/playbooks/{_part(name)}"
