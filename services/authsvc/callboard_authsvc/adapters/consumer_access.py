"""What NATS knows of analytics consumers: credentials, durables, revocations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from callboard.contracts import subjects
from callboard.contracts.problems import Problem
from callboard.platform.bus import Bus
from callboard.platform.bus_identity import (
    BusIdentityError,
    Permissions,
    Trust,
    UserCredentials,
    push_account,
    user_creds,
)
from callboard_authsvc.consumers.domain import Durable

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

    def mint(self, organisation: str, consumer: str, durables: Sequence[Durable]) -> UserCredentials:
        """Credentials that read these durables and the organisation's live subjects, and nothing else."""
        publish, subscribe = subjects.consumer_permissions(
            organisation,
            {durable.stream: durable.name for durable in durables},
            subjects.consumer_inbox(organisation, consumer),
        )
        permissions = Permissions(publish=publish, subscribe=subscribe)
        return user_creds(self.require_trust(), f"consumer/{organisation}/{consumer}", permissions)

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

    async def push_revocations(self, revocations: Mapping[str, int]) -> None:
        """Refuse exactly these keys; whoever is connected with one is disconnected."""
        try:
            await push_account(self._nats_url, self.require_trust(), revocations)
        except _FAILED as error:
            raise _unavailable("refuse the dismissed consumers", error) from error


def _unavailable(what: str, error: Exception) -> Problem:
    return Problem("bus.unavailable", f"NATS did not {what} ({type(error).__name__}); it is tried again")
