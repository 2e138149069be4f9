"""One running instance of the authsvc: the only place that makes adapters."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import asyncpg
import msgspec
import nats.errors
import structlog

from callboard.contracts import subjects
from callboard.contracts.status import InstanceStatus, LogHint
from callboard.platform.bus import Bus
from callboard.platform.bus_identity import BusIdentityError, Trust
from callboard.platform.egress import Egress, private_hosts
from callboard.platform.event_store import EventStore
from callboard.platform.migrate import wait_for_migrations
from callboard.platform.postgres import open_pool
from callboard.platform.room import Clockwork, answer_status, cancel_all
from callboard.platform.settings import SettingsRefused
from callboard_authsvc.adapters.attempt_table import AttemptTable
from callboard_authsvc.adapters.consumer_access import ConsumerAccess
from callboard_authsvc.adapters.consumer_table import ConsumerTable
from callboard_authsvc.adapters.grant_table import GrantTable
from callboard_authsvc.adapters.key_file import (
    ANCHORS,
    CSRF,
    FINGERPRINT,
    OAUTH_LINEAGE,
    PEPPER,
    PERSON_NAMES,
    REFUSALS,
    SETTING,
    TASK_ROOT,
    KeyFile,
)
from callboard_authsvc.adapters.key_ring import KeyRing
from callboard_authsvc.adapters.last_use import LastUse
from callboard_authsvc.adapters.link_table import LinkTable
from callboard_authsvc.adapters.member_table import MemberTable
from callboard_authsvc.adapters.oauth_grant_table import OAuthGrantTable
from callboard_authsvc.adapters.passwords import Passwords
from callboard_authsvc.adapters.person_key_table import PersonKeyTable
from callboard_authsvc.adapters.person_table import PersonTable
from callboard_authsvc.adapters.revocation_push import RevocationPush
from callboard_authsvc.adapters.secret_table import SecretTable
from callboard_authsvc.adapters.session_table import SessionTable
from callboard_authsvc.adapters.signing_in import signing_in
from callboard_authsvc.adapters.token_table import TokenTable
from callboard_authsvc.anchors.sign import Anchors
from callboard_authsvc.clock import Chance, Clock, system_chance, utc_now
from callboard_authsvc.consumers.dependencies import ConsumerDependencies
from callboard_authsvc.consumers.orphans import keep_dismissing
from callboard_authsvc.consumers.upkeep import ConsumerUpkeep
from callboard_authsvc.entry.asks import (
    register_anchor_asks,
    register_consumer_asks,
    register_erasure_asks,
    register_external_asks,
    register_member_asks,
    register_person_asks,
    register_project_asks,
    register_sign_in,
    register_token_asks,
    register_vault_asks,
)
from callboard_authsvc.entry.commands import (
    register_consumer_commands,
    register_erasure_commands,
    register_external_commands,
    register_key_commands,
    register_member_commands,
    register_organisation_commands,
    register_person_commands,
    register_project_commands,
    register_token_commands,
    register_vault_commands,
)
from callboard_authsvc.entry.oauth import register_oauth
from callboard_authsvc.entry.refusals import register_refusals
from callboard_authsvc.entry.signing import register_signing
from callboard_authsvc.entry.webhooks import serve_webhooks
from callboard_authsvc.erasure.dependencies import ErasureDependencies
from callboard_authsvc.erasure.keys import PersonKeys
from callboard_authsvc.external.dependencies import ExternalDependencies, external_of
from callboard_authsvc.journal import Journal
from callboard_authsvc.members.dependencies import MemberDependencies
from callboard_authsvc.members.rights import Rights
from callboard_authsvc.members.tell import MemberNews
from callboard_authsvc.oauth_server.dependencies import oauth_of
from callboard_authsvc.oauth_server.end import announce_recent_ends as announce_ended_grants
from callboard_authsvc.organisations.known import KnownOrganisations
from callboard_authsvc.people.dependencies import PeopleDependencies
from callboard_authsvc.people.register import ensure_first_administrator
from callboard_authsvc.people.sessions import announce_recent_ends
from callboard_authsvc.refusals.dependencies import refusals_of
from callboard_authsvc.refusals.note import Refusals
from callboard_authsvc.settings import AuthsvcSettings
from callboard_authsvc.signing.dependencies import signing_of
from callboard_authsvc.signing.keep import SigningUpkeep, keep_signing_keys
from callboard_authsvc.tokens.bootstrap import announce_recent_revocations, ensure_administrator
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.verifier import Verifier
from callboard_authsvc.vault.data_keys import DataKeys
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.fingerprint import Fingerprint
from callboard_authsvc.vault.rotate import VaultUpkeep
from callboard_authsvc.vault.sealed import Sealer
from callboard_authsvc.webhooks import dependencies as webhooks
from callboard_authsvc.webhooks.sending import Sending

log = structlog.get_logger()

_DRAIN_SECONDS = 2.0
_CLOSE_SECONDS = 0.3


class Materials(msgspec.Struct, frozen=True):
    """The settings and what the files they name hold."""

    settings: AuthsvcSettings
    keys: KeyFile
    ring: KeyRing
    trust: Trust | None


def read_materials(settings: AuthsvcSettings, chance: Chance = system_chance) -> Materials:
    """Read the key file and the trust; raises `SettingsRefused`, which names the setting and what to do."""
    keys = KeyFile.load(Path(settings.key_file), chance, create=settings.create_keys)
    try:
        trust = Trust.load(Path(settings.trust_dir)) if settings.trust_dir else None
    except (BusIdentityError, OSError) as error:
        raise SettingsRefused(f"CALLBOARD_AUTHSVC_TRUST_DIR: {error}") from None
    paths = [Path(name.strip()) for name in settings.wrapping_key_files.split(",") if name.strip()]
    ring = KeyRing([*(KeyFile.load(path, chance, create=False) for path in paths), keys])
    return Materials(settings, keys, ring, trust)


class Authsvc:
    """The room. Any number of instances may run: all state is in Postgres."""

    def __init__(
        self, materials: Materials, instance: str, *, clock: Clock = utc_now, chance: Chance = system_chance
    ) -> None:
        self._materials = materials
        self._instance = instance
        self._clock = clock
        self._chance = chance
        self._clockwork = Clockwork("authsvc", instance)
        self.bus = Bus("authsvc", instance, materials.settings)
        self._pool: asyncpg.Pool | None = None
        self._push = RevocationPush(self.bus)
        self._upkeep: ConsumerUpkeep | None = None
        self._last_use: LastUse | None = None
        self._refusals: Refusals | None = None
        self._sending: Sending | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False

    async def start(self) -> None:
        """Wait for Postgres, its tables and NATS; make sure of the administrator; serve."""
        settings = self._materials.settings
        self._pool = await open_pool(settings.database_url, settings.database_pool)
        secret_table = SecretTable(self._pool)
        await self._check_key_file(secret_table)
        await self.bus.connect()
        store = EventStore(self._pool, self._appended)
        journal = Journal(store, f"authsvc/{self._instance}")
        organisations = KnownOrganisations(journal)
        tags = self._materials.keys.derive(PERSON_NAMES)
        person_keys = PersonKeys(PersonKeyTable(self._pool), self._materials.ring, tags, self._clock, self._chance)
        last_use = self._last_use = LastUse(self._pool)
        members = self._member_dependencies(journal, organisations, self._pool)
        tokens = self._token_dependencies(journal, organisations, self._pool, members, last_use, person_keys)
        writer = refusals_of(members, self._pool, self._materials.keys.derive(REFUSALS))
        register_refusals(self.bus, writer)
        refusals = self._refusals = Refusals(writer.write, settings.refusals_seconds, self._clock)
        people = self._people_dependencies(self._pool, members, refusals)
        await ensure_administrator(settings.bootstrap_token, tokens)
        await ensure_first_administrator(settings.admin_email, settings.admin_password, people)
        await announce_recent_revocations(tokens)
        await announce_recent_ends(people)
        await members.news.repeat_recent()
        vault = self._vault_dependencies(journal, organisations, secret_table)
        consumers = self._consumer_dependencies(journal, members, self._pool)
        self._register(journal, tokens, vault, consumers)
        external = external_of(settings, people, self._pool, self._egress().fetch)
        self._register_people(journal, members, people, external)
        self._register_erasure(
            ErasureDependencies(journal, organisations, person_keys, members, self._push, self._clock)
        )
        grants = GrantTable(self._pool, Sealer(vault.data_keys, self._chance))
        sign_in = signing_in(
            settings.public_url, self._materials.keys, self._egress().fetch, journal, vault, grants, self._pool
        )
        register_sign_in(self.bus, sign_in)
        register_key_commands(self.bus, vault, grants)
        anchors = Anchors(self._pool, self._materials.keys.derive(ANCHORS), self._clock)
        register_anchor_asks(self.bus, anchors)
        signing = signing_of(self.bus, journal, self._pool, self._materials.ring, self._clock, self._chance)
        await keep_signing_keys(signing)
        register_signing(self.bus, signing)
        lineage = self._materials.keys.derive(OAUTH_LINEAGE)
        oauth = oauth_of(settings, self._pool, members, signing, self._push, lineage, self._egress().fetch, refusals)
        register_oauth(self.bus, oauth)
        await announce_ended_grants(oauth)
        self._upkeep = consumers.upkeep
        self.bus.on_reconnect(consumers.upkeep.wake)
        outgoing = webhooks.build(settings, self._pool, store, vault, self._egress())
        sending = self._sending = await serve_webhooks(self.bus, outgoing)
        upkeep = (VaultUpkeep(vault, grants, person_keys), SigningUpkeep(signing))
        parts = (self._push, consumers.upkeep, last_use, *upkeep, sending, refusals)
        work = (*(part.run() for part in parts), keep_dismissing(consumers))
        self._tasks = [asyncio.create_task(each) for each in work]
        await self.bus.serve()
        self._ready = True

    async def stop(self) -> None:
        """Finish what runs, within three seconds whatever Postgres and NATS do."""
        self._ready = False
        try:
            await asyncio.wait_for(self.bus.close(), _DRAIN_SECONDS)
        except TimeoutError:
            # A handler waits for Postgres, perhaps. Its caller asks another instance when the connection is gone.
            if self.bus.connected:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.bus.client.close(), _CLOSE_SECONDS)
        await cancel_all(*self._tasks)
        if self._last_use is not None and self._refusals is not None:
            for write in (self._last_use.write, self._refusals.flush):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(write(), _CLOSE_SECONDS)
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), _CLOSE_SECONDS)
            except TimeoutError:
                self._pool.terminate()

    def status(self) -> InstanceStatus:
        """Ready from the end of `start` on; a problem while NATS lags behind what was decided here."""
        problem = next((part.problem for part in (self._upkeep, self._sending) if part and part.problem), "")
        figures = {"revocations_waiting": float(self._push.waiting)}
        return self._clockwork.status(ready=self._ready, problem=problem, figures=figures)

    def _register(
        self, journal: Journal, tokens: TokenDependencies, vault: VaultDependencies, consumers: ConsumerDependencies
    ) -> None:
        plan = self._materials.settings.default_plan
        register_organisation_commands(self.bus, journal, tokens.organisations, plan)
        register_token_commands(self.bus, tokens)
        register_token_asks(self.bus, tokens)
        register_vault_commands(self.bus, vault)
        register_vault_asks(self.bus, vault)
        register_consumer_commands(self.bus, consumers)
        register_consumer_asks(self.bus, consumers)
        answer_status(self)

    def _register_erasure(self, use: ErasureDependencies) -> None:
        register_erasure_commands(self.bus, use)
        register_erasure_asks(self.bus, use)

    def _register_people(
        self,
        journal: Journal,
        members: MemberDependencies,
        people: PeopleDependencies,
        external: ExternalDependencies,
    ) -> None:
        register_member_commands(self.bus, members)
        register_member_asks(self.bus, members)
        register_project_commands(self.bus, journal, members.organisations)
        register_project_asks(self.bus, journal, members.organisations)
        register_person_commands(self.bus, people)
        register_person_asks(self.bus, people)
        register_external_commands(self.bus, external)
        register_external_asks(self.bus, external)

    def _member_dependencies(
        self, journal: Journal, organisations: KnownOrganisations, pool: asyncpg.Pool
    ) -> MemberDependencies:
        table = MemberTable(pool)
        return MemberDependencies(
            journal=journal,
            organisations=organisations,
            table=table,
            links=LinkTable(pool),
            rights=Rights(TokenTable(pool), SessionTable(pool), PersonTable(pool), table, self._clock),
            news=MemberNews(table, self._push, self._clock),
            verifier=Verifier(self._materials.keys.derive(PEPPER)),
            clock=self._clock,
            chance=self._chance,
        )

    def _people_dependencies(
        self, pool: asyncpg.Pool, members: MemberDependencies, refusals: Refusals
    ) -> PeopleDependencies:
        return PeopleDependencies(
            table=PersonTable(pool),
            sessions=SessionTable(pool),
            attempts=AttemptTable(pool),
            links=members.links,
            grants=OAuthGrantTable(pool),
            journal=members.journal,
            members=members,
            passwords=Passwords(),
            push=self._push,
            refusals=refusals,
            verifier=members.verifier,
            csrf=Verifier(self._materials.keys.derive(CSRF)),
            clock=self._clock,
            chance=self._chance,
        )

    def _token_dependencies(
        self,
        journal: Journal,
        organisations: KnownOrganisations,
        pool: asyncpg.Pool,
        members: MemberDependencies,
        last_use: LastUse,
        persons: PersonKeys,
    ) -> TokenDependencies:
        return TokenDependencies(
            journal=journal,
            organisations=organisations,
            table=TokenTable(pool),
            persons=persons,
            members=members.table,
            rights=members.rights,
            last_use=last_use,
            push=self._push,
            verifier=members.verifier,
            clock=self._clock,
            chance=self._chance,
        )

    def _vault_dependencies(
        self, journal: Journal, organisations: KnownOrganisations, table: SecretTable
    ) -> VaultDependencies:
        keys = self._materials.keys
        return VaultDependencies(
            journal=journal,
            organisations=organisations,
            table=table,
            data_keys=DataKeys(table, self._materials.ring, self._chance),
            fingerprint=Fingerprint(keys.derive(FINGERPRINT)),
            clock=self._clock,
            chance=self._chance,
            task_root=keys.derive(TASK_ROOT),
        )

    def _egress(self) -> Egress:
        settings, name = self._materials.settings, "CALLBOARD_AUTHSVC_PRIVATE_UPSTREAMS"
        return Egress(private_hosts(name, settings.private_upstreams, production=settings.production))

    def _consumer_dependencies(
        self, journal: Journal, members: MemberDependencies, pool: asyncpg.Pool
    ) -> ConsumerDependencies:
        settings = self._materials.settings
        public_url = settings.consumer_nats_url or settings.nats_url
        access = ConsumerAccess(self.bus, self._materials.trust, settings.nats_url, public_url)
        table = ConsumerTable(pool)
        return ConsumerDependencies(
            journal=journal,
            organisations=members.organisations,
            table=table,
            access=access,
            rights=members.rights,
            upkeep=ConsumerUpkeep(table, access),
            clock=self._clock,
        )

    async def _check_key_file(self, table: SecretTable) -> None:
        """Refuse a key file that is not the one the database was written with."""
        assert self._pool is not None, "the pool is opened first"
        await wait_for_migrations(self._pool)
        if foreign := await table.wrapping_keys() - self._materials.ring.known:
            raise SettingsRefused(
                f"{SETTING}: the database holds data keys of another key file ({', '.join(sorted(foreign))}); "
                "restore that file"
            )

    async def _appended(self, organisation: str, seq: int) -> None:
        # Lossy on purpose: whoever follows the log finds the event without the hint too.
        with contextlib.suppress(nats.errors.Error, OSError):
            await self.bus.tell(subjects.hint(organisation), LogHint(organisation=organisation, seq=seq))
