"""What the edge asks of the authsvc about people."""

from __future__ import annotations

from typing import Any

import msgspec
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.access import Principal, RightsChanged, TokenRevoked, VerifyToken
from callboard.contracts.people import (
    AskMembers,
    AskSession,
    ChangeRole,
    Invitation,
    InviteMember,
    Members,
    Register,
    RemoveMember,
    SessionOpened,
    SignedIn,
    SignIn,
)
from callboard.contracts.playbooks import Done
from tests.authsvc.stack import Edge, Stack, new_id
from tests.support.waiting import settled

PASSWORD = "correct horse battery"


class Office:
    """An organisation `acme` with whoever was invited."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.bus = edge.bus
        self.revoked: list[str] = []
        self.changed: list[str] = []

    async def listen(self) -> None:
        """Hear what every edge is told."""

        async def hear(message: Msg) -> None:
            if message.subject == subjects.TOKEN_REVOKED:
                self.revoked.append(msgspec.json.decode(message.data, type=TokenRevoked).key_id)
            elif message.subject == subjects.RIGHTS_CHANGED:
                self.changed.append(msgspec.json.decode(message.data, type=RightsChanged).key_id)

        await self.bus.listen("cb.push.>", hear)
        await settled(self.bus.client)

    async def invite(self, role: str, by: str = "", organisation: str = "acme", **rest: Any) -> Invitation:
        command = InviteMember(command_id=new_id(), organisation=organisation, role=role, by=by, **rest)
        return await self.bus.ask(subjects.INVITE_MEMBER, command, Invitation)

    async def register(self, token: str, email: str, **rest: Any) -> SessionOpened:
        command = Register(**{"command_id": new_id(), "token": token, "email": email, "password": PASSWORD} | rest)
        return await self.bus.ask(subjects.REGISTER, command, SessionOpened)

    async def join(self, name: str, role: str, organisation: str = "acme") -> SessionOpened:
        """A new person with this role, signed in."""
        invitation = await self.invite(role, organisation=organisation)
        return await self.register(invitation.token, f"{name}@example.com", name=name)

    async def sign_in(self, email: str, password: str = PASSWORD, **rest: Any) -> SessionOpened:
        return await self.bus.ask(subjects.SIGN_IN, SignIn(email=email, password=password, **rest), SessionOpened)

    async def whose(self, session: str) -> SignedIn:
        return await self.bus.ask(subjects.SESSION, AskSession(session=session), SignedIn)

    async def verify(self, token: str) -> Principal:
        return await self.bus.ask(subjects.VERIFY_TOKEN, VerifyToken(token=token), Principal)

    async def give_role(self, member: str, role: str, by: str = "", **rest: Any) -> Done:
        command = ChangeRole(command_id=new_id(), organisation="acme", member=member, role=role, by=by, **rest)
        return await self.bus.ask(subjects.CHANGE_ROLE, command, Done)

    async def remove(self, member: str, by: str = "", organisation: str = "acme") -> Done:
        command = RemoveMember(command_id=new_id(), organisation=organisation, member=member, by=by)
        return await self.bus.ask(subjects.REMOVE_MEMBER, command, Done)

    async def members(self, organisation: str = "acme") -> Members:
        return await self.bus.ask(subjects.MEMBERS, AskMembers(organisation=organisation), Members)


async def office_with_clock(stack: Stack, clock: Any, **settings: Any) -> Office:
    """The same on an authsvc whose time is the test's."""
    await stack.authsvc(clock=clock, **settings)
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")
    return Office(edge)


def key_of(opened: SessionOpened) -> str:
    """The `by` of whoever opened the session."""
    return opened.signed_in.principal.key_id


def person_of(opened: SessionOpened) -> str:
    return opened.signed_in.person.person
