"""What the identity provider tells by itself: that somebody is not there any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec

from callboard.contracts.people import ReceiveWebhook
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.webhook_signatures import TOLERANCE, is_genuine
from callboard_authsvc.external.dependencies import ExternalDependencies
from callboard_authsvc.members.provision import provision
from callboard_authsvc.people.session_keys import external_key
from callboard_authsvc.people.sessions import end_all, tell_ended

_MAX_ID: Final = 200
_KEPT: Final = timedelta(seconds=3 * TOLERANCE)
USER_GONE: Final = ("user.deleted", "user.deactivated")


class _Told(msgspec.Struct, frozen=True):
    type: str
    data: dict[str, Any] = {}


async def receive_webhook(command: ReceiveWebhook, use: ExternalDependencies) -> Done:
    """Take it once; a repeat and what is of no concern are acknowledged without effect. Raises `auth.invalid`.

    A person who is deleted there has no session here any more, is not known by that identity, and loses the
    membership that groups there brought, with every token behind it.
    """
    now = use.people.clock()
    good = bool(use.webhook_key) and len(command.id) <= _MAX_ID and "\x00" not in command.id
    if not good or not is_genuine(
        use.webhook_key, command.id, command.timestamp, command.signatures, command.body, now.timestamp()
    ):
        raise Problem("auth.invalid", "the signature of the webhook is not good, or its time is not now")
    try:
        told = msgspec.json.decode(command.body, type=_Told)
    except msgspec.DecodeError:
        raise Problem("argument.invalid", "the webhook is not an object with a type and data") from None
    if await use.table.is_known_webhook(command.id):
        return Done(seq=0)
    subject = told.data.get("id")
    if told.type in USER_GONE and isinstance(subject, str):
        await _user_gone(subject, use)
    # After the effect, which may happen twice without harm, but must happen.
    await use.table.remember_webhook(command.id, now, now - _KEPT)
    return Done(seq=0)


async def _user_gone(subject: str, use: ExternalDependencies) -> None:
    people, provider = use.people, use.provider
    if provider is None or "\x00" in subject:
        return
    issuer = provider.provider.issuer
    person = await use.table.person_of(issuer, subject)
    if person is None:
        return
    async with people.table.pool.acquire() as connection:
        ended = await end_all(connection, person, people)
    tell_ended(ended, people)
    if use.organisation:
        # Refused for the last owner: the provider sends it again, until there is another one.
        await provision(person, "", use.organisation, people.members)
    async with people.table.pool.acquire() as connection:
        await use.table.unlink(connection, issuer, subject)
    people.push.announce(external_key(person))
