"""What NATS knows of analytics consumers: credentials, accounts, durables."""

from __future__ import annotations

from collections.abc import Sequence

import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from callboard.contracts import consumer_subjects
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard.platform.bus_identity import BusIdentityError, Permissions, Trust, UserCredentials
from callboard.platform.consumer_account import Access, closed_account, new_account, open_account, put_accounts
from callboard_authsvc.consumers.domain import Durable, durables_of

Account = tuple[str, str, str]
"""Organisation, consumer, public key of the account."""

_FAILED: tuple[type[Exception], ...] = (nats.errors.Error, JetStreamError, BusIdentityError, TimeoutError, OSError)


class ConsumerAccess:
    """`trust` is None where NATS is managed elsewhere: then nobody is admitted from here."""

    def __init__(self, bus: Bus, trust: Trust | None, nats_url: str, public_url: str) -> None:
        self._bus = bus
        self._trust = trust
        self._nats_url = nats_url
        self.public_url = public_url

    @property
    def trusted(self) -> bool:
        """Whether the operator's keys are here."""
        return self._trust is not None

    def require_trust(self) -> Trust:
        """Raise `argument.invalid` where consumers cannot be administered."""
        if self._trust is None:
            raise Problem(
                "argument.invalid",
                "the NATS of this installation is managed elsewhere: make the consumer's user there, or set "
                "CALLBOARD_AUTHSVC_TRUST_DIR",
            )
        return self._trust

    def mint(self, organisation: str, consumer: str) -> UserCredentials:
        """Credentials in a new account, which work when it was opened."""
        publish, subscribe = consumer_subjects.consumer_permissions(
            organisation, consumer, _by_stream(organisation, consumer)
        )
        return new_account(_name(organisation, consumer), Permissions(publish=publish, subscribe=subscribe))

    async def open(self, accounts: Sequence[Account]) -> None:
        """Let these accounts read the durables and live subjects of their consumers, and nothing else."""
        trust = self.require_trust()
        tokens = [
            open_account(
                trust,
                _name(organisation, consumer),
                public_key,
                Access(
                    services=consumer_subjects.consumer_services(_by_stream(organisation, consumer)),
                    feeds=consumer_subjects.consumer_feeds(organisation),
                ),
            )
            for organisation, consumer, public_key in accounts
        ]
        await self._put(tokens, "open an account")

    async def close(self, accounts: Sequence[Account]) -> None:
        """Refuse these accounts; whoever is connected with one is disconnected."""
        trust = self.require_trust()
        tokens = [closed_account(trust, _name(*account[:2]), account[2]) for account in accounts]
        await self._put(tokens, "close an account")

    async def _put(self, tokens: Sequence[str], what: str) -> None:
        try:
            await put_accounts(self._nats_url, self.require_trust(), tokens)
        except _FAILED as error:
            raise _unavailable(what, error) from error

    async def make_durables(self, durables: Sequence[Durable]) -> None:
        """Make what is missing; raises `bus.unavailable` while the streams are not there."""
        for durable in durables:
            policy = DeliverPolicy.ALL if durable.from_start else DeliverPolicy.NEW
            config = ConsumerConfig(
                # With a name the filter stands in the subject of the request; without, the older form is used.
                name=durable.name,
                durable_name=durable.name,
                filter_subject=durable.subject,
                deliver_policy=policy,
                ack_policy=AckPolicy.EXPLICIT,
            )
            try:
                await self._bus.client.jetstream().add_consumer(durable.stream, config)
            except NotFoundError:
                message = f"there is no stream {durable.stream} yet: projections makes it when it starts"
                raise Problem("bus.unavailable", message) from None
            except _FAILED as error:
                raise _unavailable(f"make a durable on {durable.stream}", error) from error

    async def delete_durables(self, durables: Sequence[Durable]) -> None:
        """Delete what is there."""
        for durable in durables:
            try:
                await self._bus.client.jetstream().delete_consumer(durable.stream, durable.name)
            except NotFoundError:
                continue
            except _FAILED as error:
                raise _unavailable(f"delete a durable of {durable.stream}", error) from error


def _by_stream(organisation: str, consumer: str) -> dict[str, str]:
    return {durable.stream: durable.name for durable in durables_of(organisation, consumer)}


def _name(organisation: str, consumer: str) -> str:
    return f"consumer/{organisation}/{consumer}"


def _unavailable(what: str, error: Exception) -> Problem:
    return Problem("bus.unavailable", f"NATS did not {what} ({type(error).__name__}); it is tried again")
