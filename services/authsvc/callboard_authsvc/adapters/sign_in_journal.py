"""What becomes of grants, in the log: the event and the sealed tokens in one transaction."""

from __future__ import annotations

import msgspec

from callboard.contracts.upstream_sign_in import UpstreamSignOut
from callboard.contracts.vault_events import UpstreamSignedIn, UpstreamSignedOut, UpstreamSignInLost
from callboard.platform.event_store import Connection, new_id
from callboard_authsvc.adapters.grant_table import GrantTable
from callboard_authsvc.journal import Journal
from callboard_authsvc.upstream_oauth.domain import Grant, Whose
from callboard_authsvc.upstream_oauth.noted import SIGN_INS, NoteSignIn, SignInEvent, stream_of
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.open import open_one


class SignInJournal:
    """See `upstream_oauth.ports.Journal`."""

    def __init__(self, journal: Journal, table: GrantTable) -> None:
        self._journal = journal
        self._table = table

    async def signed_in(self, whose: Whose, grant: Grant, actor: str) -> None:
        """Keep the grant."""
        row = await self._table.row(whose, grant)

        async def insert(connection: Connection, events: tuple[SignInEvent, ...]) -> None:
            await self._table.insert(connection, row)

        event = UpstreamSignedIn(
            server=whose.server,
            subject=whose.subject,
            issuer=grant.found.server.issuer,
            scopes=tuple(grant.scope.split()),
        )
        await self._journal.record(_note(whose, actor), stream_of(whose.server), SIGN_INS, event, insert)

    async def lost(self, whose: Whose) -> None:
        """A grant cannot be renewed."""
        event = UpstreamSignInLost(server=whose.server, subject=whose.subject)
        await self._journal.record(_note(whose, whose.subject), stream_of(whose.server), SIGN_INS, event)

    async def signed_out(self, command: UpstreamSignOut, whose: Whose) -> int:
        """Forget the grant."""

        async def delete(connection: Connection, events: tuple[SignInEvent, ...]) -> None:
            await self._table.delete(connection, whose)

        event = UpstreamSignedOut(server=whose.server, subject=whose.subject)
        outcome = await self._journal.record(command, stream_of(whose.server), SIGN_INS, event, delete)
        return outcome.seq


class VaultSecrets:
    """See `upstream_oauth.ports.Secrets`."""

    def __init__(self, vault: VaultDependencies) -> None:
        self.vault = vault

    async def value(self, organisation: str, secret: str) -> str:
        """The newest value; raises `secret.unknown`, `secret.unreadable`."""
        return await open_one(organisation, secret, self.vault)


def _note(whose: Whose, actor: str) -> NoteSignIn:
    noted = msgspec.structs.asdict(whose)
    return NoteSignIn(command_id=new_id(), actor=actor, **noted)
