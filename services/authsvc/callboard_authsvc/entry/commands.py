"""Commands: one handler each, one call."""

from __future__ import annotations

from callboard.contracts import subjects
from callboard.contracts.access import (
    AdmitConsumer,
    ConsumerAdmission,
    CreateOrganisation,
    DestroySecret,
    DismissConsumer,
    IssueToken,
    RevokeToken,
    StoreSecret,
    TokenIssued,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.vault import RotateDataKey, ShredVault
from callboard.platform.bus import Bus, register
from callboard_authsvc.adapters.grant_table import GrantTable
from callboard_authsvc.consumers.admit import admit_consumer
from callboard_authsvc.consumers.dependencies import ConsumerDependencies
from callboard_authsvc.consumers.dismiss import dismiss_consumer
from callboard_authsvc.journal import Journal
from callboard_authsvc.organisations.create import create_organisation
from callboard_authsvc.tokens.dependencies import TokenDependencies
from callboard_authsvc.tokens.issue import issue_token
from callboard_authsvc.tokens.revoke import revoke_token
from callboard_authsvc.vault.dependencies import VaultDependencies
from callboard_authsvc.vault.destroy import destroy_secret
from callboard_authsvc.vault.rotate import rotate_data_key, shred_vault
from callboard_authsvc.vault.store import store_secret


def register_organisation_commands(bus: Bus, journal: Journal) -> None:
    """Create."""

    async def create(command: CreateOrganisation) -> Done:
        return await create_organisation(command, journal)

    register(bus, subjects.CREATE_ORGANISATION, create)


def register_token_commands(bus: Bus, use: TokenDependencies) -> None:
    """Issue, revoke."""

    async def issue(command: IssueToken) -> TokenIssued:
        return await issue_token(command, use)

    async def revoke(command: RevokeToken) -> Done:
        return await revoke_token(command, use)

    register(bus, subjects.ISSUE_TOKEN, issue)
    register(bus, subjects.REVOKE_TOKEN, revoke)


def register_vault_commands(bus: Bus, use: VaultDependencies) -> None:
    """Store, destroy."""

    async def store(command: StoreSecret) -> Done:
        return await store_secret(command, use)

    async def destroy(command: DestroySecret) -> Done:
        return await destroy_secret(command, use)

    register(bus, subjects.STORE_SECRET, store)
    register(bus, subjects.DESTROY_SECRET, destroy)


def register_key_commands(bus: Bus, use: VaultDependencies, grants: GrantTable) -> None:
    """Rotate, shred."""

    async def rotate(command: RotateDataKey) -> Done:
        return await rotate_data_key(command, use, grants)

    async def shred(command: ShredVault) -> Done:
        return await shred_vault(command, use)

    register(bus, subjects.ROTATE_DATA_KEY, rotate)
    register(bus, subjects.SHRED_VAULT, shred)


def register_consumer_commands(bus: Bus, use: ConsumerDependencies) -> None:
    """Admit, dismiss."""

    async def admit(command: AdmitConsumer) -> ConsumerAdmission:
        return await admit_consumer(command, use)

    async def dismiss(command: DismissConsumer) -> Done:
        return await dismiss_consumer(command, use)

    register(bus, subjects.ADMIT_CONSUMER, admit)
    register(bus, subjects.DISMISS_CONSUMER, dismiss)
