"""Who it was that was refused, as far as anybody here knows, and the events that say so."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from msgspec.structs import replace

from callboard.contracts.layers import SYSTEM
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.contracts.refusals import NoteRefusals
from callboard.contracts.sign_in_events import AuthenticationRefused, Refused
from callboard.kernel.ids import command_uuid
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.adapters.oauth_client_table import OAuthClientTable
from callboard_authsvc.adapters.person_table import PersonTable
from callboard_authsvc.adapters.token_table import TokenTable
from callboard_authsvc.clock import Clock
from callboard_authsvc.journal import Journal, Noted
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.people.domain import checked_email, logs_of
from callboard_authsvc.refusals.domain import Attempt, Batch, Found, Shown, attempt_of, by_log

_ACTOR = "refused callers"
_DIGEST = 16


@dataclass(frozen=True)
class RefusalsWriter:
    """Made once. `key`: of the digests, so that nobody can try names and addresses against the log."""

    journal: Journal
    organisations: KnownOrganisations
    persons: PersonTable
    members: MemberTable
    tokens: TokenTable
    clients: OAuthClientTable
    key: bytes
    clock: Clock

    async def write(self, batch: Batch) -> None:
        """What this instance refused itself. Raises `database.unavailable`; then the same batch is to come again."""
        found = [await self._found(attempt, count) for attempt, count in batch.counted]
        for log, told in by_log(found, batch.others).items():
            lines = tuple(replace(line, address=self._address(log, line.address)) for line in told.lines)
            event = AuthenticationRefused(since=batch.since, until=batch.until, lines=lines, others=told.others)
            named = str(command_uuid(f"{batch.command_id}/{log}"))
            noted = Noted(command_id=named, organisation=log, actor=_ACTOR, comment=f"refused: {told.words}")
            try:
                await self.journal.note(noted, event)
            except Problem as problem:
                if problem.code != "command.reused":
                    raise
                # This log was told before, by the same batch; since then more, or less, is known of the accounts.

    async def note(self, command: NoteRefusals) -> Done:
        """What an edge refused; the same message again writes nothing."""
        counted = [
            (
                attempt_of(
                    line.door, line.reason, Shown(key_id=line.key_id, organisation=line.organisation), line.address
                ),
                line.count,
            )
            for line in command.lines
        ]
        await self.write(Batch(command.command_id, command.since, command.until, counted, command.others))
        return Done(seq=0)

    async def _found(self, attempt: Attempt, count: int) -> Found:
        shown, reason = attempt.shown, attempt.reason
        if shown.email:
            logs, account = await self._of_email(shown.email)
        elif shown.client_id:
            logs, account = await self._of_client(shown.client_id)
        else:
            logs, account, reason = await self._of_key(shown, reason)
        line = Refused(door=attempt.door, reason=reason, count=count, account=account, address=attempt.network)
        return Found(logs, line)

    async def _of_email(self, email: str) -> tuple[tuple[str, ...], str]:
        try:
            person = await self.persons.by_email(checked_email(email))
        except Problem:
            person = None  # nobody's, whatever it is
        if person is None:
            return (SYSTEM,), f"?{self._digest(email)}"
        organisations = await self.members.grants_of(person.person)
        return logs_of(organisations, administers=person.administers), person.person

    async def _of_client(self, client_id: str) -> tuple[tuple[str, ...], str]:
        client = await self.clients.find(client_id) if "\0" not in client_id else None
        if client is None:
            return (SYSTEM,), f"?{self._digest(client_id)}"
        return (client.organisation or SYSTEM,), client_id

    async def _of_key(self, shown: Shown, reason: str) -> tuple[tuple[str, ...], str, str]:
        row = await self.tokens.find(shown.key_id) if shown.key_id else None
        if row is None:
            return (await self._known(shown.organisation),), "", reason
        if row.revoked_at is not None:
            reason = "token.revoked"
        elif row.expires_at is not None and self.clock() >= row.expires_at:
            reason = "token.expired"
        return (await self._known(row.organisation),), shown.key_id, reason

    async def _known(self, organisation: str) -> str:
        if not organisation:
            return SYSTEM
        try:
            await self.organisations.require(organisation)
        except Problem as problem:
            if problem.code != "organisation.unknown":
                raise
            return SYSTEM
        return organisation

    def _address(self, log: str, network: str) -> str:
        # In each log another one: nobody finds out who comes to two organisations.
        return self._digest(f"{log} {network}") if network else ""

    def _digest(self, text: str) -> str:
        return hmac.digest(self.key, text.encode(), hashlib.sha256).hex()[:_DIGEST]
