"""Load a stream, decide, append; again when somebody else was first. The way of every command into the log.

Above: the verbs of the features. Below: `platform.event_store`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar, cast

import msgspec

from callboard.contracts.access import (
    AdmitConsumer,
    CreateOrganisation,
    DestroySecret,
    DismissConsumer,
    IssueToken,
    RevokeToken,
    RotateToken,
    StoreSecret,
)
from callboard.contracts.events import Event, EventMeta, Recorded
from callboard.contracts.oauth_server import AddServiceClient, RemoveServiceClient, RevokeGrant
from callboard.contracts.people import (
    AssignPlaybook,
    ChangeRole,
    CreateProject,
    CreateServiceAccount,
    InviteMember,
    RemoveMember,
    RemoveProject,
    WithdrawInvitation,
)
from callboard.contracts.personal import ErasePerson
from callboard.contracts.plans import ChoosePlan
from callboard.contracts.signing import RotateSigningKey
from callboard.contracts.upstream_sign_in import UpstreamSignOut
from callboard.contracts.vault import RotateDataKey, ShredVault
from callboard.contracts.webhooks import (
    DeleteWebhook,
    RegisterWebhook,
    ReplayWebhook,
    RotateWebhookSecret,
    SwitchWebhook,
)
from callboard.kernel.decider import Decider
from callboard.platform.event_store import Connection, EventStore, StreamMoved, Write
from callboard.platform.postgres import persist
from callboard_authsvc.members.acceptance import Acceptance, Provisioning
from callboard_authsvc.oauth_server.domain import NoteGrant
from callboard_authsvc.signing.domain import KeepSigningKeys
from callboard_authsvc.upstream_oauth.noted import NoteSignIn
from callboard_authsvc.webhooks.due import DisableNote

Command = (
    CreateOrganisation
    | ChoosePlan
    | IssueToken
    | RevokeToken
    | RotateToken
    | StoreSecret
    | DestroySecret
    | AdmitConsumer
    | DismissConsumer
    | ErasePerson
    | InviteMember
    | WithdrawInvitation
    | Acceptance
    | Provisioning
    | ChangeRole
    | RemoveMember
    | CreateServiceAccount
    | CreateProject
    | AssignPlaybook
    | RemoveProject
    | UpstreamSignOut
    | RotateDataKey
    | ShredVault
    | NoteSignIn
    | RegisterWebhook
    | RotateWebhookSecret
    | SwitchWebhook
    | ReplayWebhook
    | DeleteWebhook
    | DisableNote
    | NoteGrant
    | RevokeGrant
    | AddServiceClient
    | RemoveServiceClient
    | RotateSigningKey
    | KeepSigningKeys
)
_WITH_COMMENT = (
    *(ChoosePlan, RevokeToken, DismissConsumer, ErasePerson, ChangeRole, RemoveMember, RemoveProject, ShredVault),
    *(SwitchWebhook, DeleteWebhook, RotateSigningKey, RevokeGrant),
)
Order = TypeVar("Order")
State = TypeVar("State")
Fact = TypeVar("Fact", bound=Event)
Within = Callable[[Connection, tuple[Fact, ...]], Awaitable[None]]
"""Rows that change in the transaction of these events."""

_ACCESS = "access"
"""The stream of who came in, and who did not."""
_ATTEMPTS = 20
_STRIPES = 64


class Noted(msgspec.Struct, frozen=True, kw_only=True, tag="fact.note", tag_field="type"):
    """What somebody did that no decision stands behind, in the form of a command."""

    command_id: str
    organisation: str
    actor: str
    comment: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What a command did. `replayed`: it had been handled before, and these are the events it made then."""

    events: tuple[Event, ...]
    seq: int
    replayed: bool = False


async def _no_rows(connection: Connection, events: tuple[Event, ...]) -> None:
    """Only the log changes."""


class Journal:
    """Decisions of this instance, written to the log as `producer`."""

    def __init__(self, store: EventStore, producer: str) -> None:
        self._store = store
        self._producer = producer
        # Commands for one stream wait for each other here instead of colliding in the database. Stripes and
        # not one lock per stream: their number is bounded.
        self._locks = [asyncio.Lock() for _ in range(_STRIPES)]

    async def handled(self, command: Command) -> Outcome | None:
        """What this command did when it was delivered before; None for a new one.

        Raises `Problem("command.reused")` when its id was used for another request.
        """
        store, organisation = self._store, command.organisation
        seen = await persist(lambda: store.seen(organisation, command.command_id, command))
        if seen is None:
            return None
        return Outcome(tuple(event.event for event in seen), seen[-1].seq if seen else 0, replayed=True)

    async def read(self, organisation: str, stream: str) -> list[Recorded]:
        """The events of a stream, in order."""
        return await persist(lambda: self._store.read_stream(organisation, stream))

    async def record(
        self,
        command: Command,
        stream: str,
        decider: Decider[Order, State, Fact],
        order: Order,
        within: Within[Fact] = _no_rows,
    ) -> Outcome:
        """Decide `order` on the stream and append what happened, with `within` in the same transaction.

        No event means that nothing had to change: the outcome has seq 0. Raises what the decider raises.
        """
        async with self._locks[hash((command.organisation, stream)) % _STRIPES]:
            for _ in range(_ATTEMPTS - 1):
                try:
                    return await self._record_once(command, stream, decider, order, within)
                except StreamMoved:
                    continue
            return await self._record_once(command, stream, decider, order, within)

    async def note(self, noted: Noted, event: Event) -> None:
        """Append what happened, once per command id: nothing is decided by what stands in the stream."""
        meta = EventMeta(actor=noted.actor, comment=noted.comment, producer=self._producer)
        await self._store.append(noted.organisation, noted.command_id, noted, meta, [Write(_ACCESS, (event,))])

    async def _record_once(
        self,
        command: Command,
        stream: str,
        decider: Decider[Order, State, Fact],
        order: Order,
        within: Within[Fact],
    ) -> Outcome:
        if (before := await self.handled(command)) is not None:
            return before
        past = await self.read(command.organisation, stream)
        # A stream holds the events of its own aggregate only.
        state = decider.fold(cast("Fact", recorded.event) for recorded in past)
        events = tuple(decider.decide(order, state))
        if not events:
            return Outcome((), 0)
        appended = await self._store.append(
            command.organisation,
            command.command_id,
            command,
            self._meta(command),
            [Write(stream, events, past[-1].version if past else 0)],
            partial(_with_events, within, events),
        )
        if appended.replayed:
            before = await self.handled(command)
            assert before is not None, "a replayed command is in the log"
            return before
        return Outcome(events, appended.last_seq)

    def _meta(self, command: Command) -> EventMeta:
        comment = command.comment if isinstance(command, _WITH_COMMENT) else ""
        return EventMeta(actor=command.actor, comment=comment, producer=self._producer)


async def _with_events(within: Within[Fact], events: tuple[Fact, ...], connection: Connection) -> None:
    await within(connection, events)
