"""The life of a client token, over the bus, with the permissions of an edge."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg

from callboard.contracts import subjects
from callboard.contracts.access import (
    AskTokens,
    IssueToken,
    Principal,
    RevokeToken,
    TokenIssued,
    TokenRevoked,
    Tokens,
    VerifyToken,
)
from callboard.contracts.playbooks import Done
from callboard.contracts.problems import Problem
from callboard.kernel.tokens import base62, key_id_of
from tests.authsvc.stack import Edge, Stack, SteppingClock, new_id, refused, some_token
from tests.support.waiting import PATIENCE, eventually, settled


async def verify(edge: Edge, token: str) -> Principal:
    return await edge.bus.ask(subjects.VERIFY_TOKEN, VerifyToken(token=token), Principal)


async def revoke(edge: Edge, key_id: str, organisation: str = "acme", **rest: Any) -> Done:
    command = RevokeToken(**{"command_id": new_id(), "organisation": organisation, "key_id": key_id} | rest)
    return await edge.bus.ask(subjects.REVOKE_TOKEN, command, Done)


async def listed(edge: Edge, organisation: str = "acme") -> Tokens:
    return await edge.bus.ask(subjects.TOKENS, AskTokens(organisation=organisation), Tokens)


async def test_an_issued_token_is_verified_as_its_client(edge: Edge) -> None:
    issued = await edge.issue(scopes=("use", "read"), playbooks=("start", "dev-*"))

    assert await verify(edge, issued.token) == Principal(
        key_id=issued.key_id,
        client="agent",
        organisation="acme",
        scopes=("use", "read"),
        playbooks=("start", "dev-*"),
    )
    assert key_id_of(issued.token) == issued.key_id


async def test_every_token_that_is_not_live_is_refused_with_the_same_words(stack: Stack) -> None:
    clock = SteppingClock()
    await stack.authsvc(clock=clock)
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")
    expired, revoked, live = [await edge.issue(expires_in_seconds=seconds) for seconds in (60, None, 61)]
    await revoke(edge, revoked.key_id)
    # The right key id with another secret: only the verifier tells.
    body = live.token[:12] + some_token(9)[12:-6]
    forged = body + base62(zlib.crc32(body.encode()).to_bytes(4, "big"), 6)
    assert key_id_of(forged) == live.key_id

    clock.step(seconds=60)

    assert (await verify(edge, live.token)).key_id == live.key_id
    bad = [expired.token, revoked.token, forged, some_token(1), "", "junk", "cbk_" + "0" * 46, "ü" * 50, "x" * 100_000]
    problems = [await refused("auth.invalid", verify(edge, token)) for token in bad]
    assert {(problem.message, str(problem.data)) for problem in problems} == {
        ("the token is unknown, expired or revoked", "{}")
    }


async def test_a_token_expires_at_the_second_it_says(stack: Stack) -> None:
    clock = SteppingClock()
    await stack.authsvc(clock=clock)
    edge = Edge(await stack.bus_of("edge"))
    await edge.create("acme")
    issued = await edge.issue(expires_in_seconds=10)
    assert issued.expires_at is not None
    assert (issued.expires_at - clock.now).total_seconds() == 10

    clock.step(seconds=9.999)
    assert (await verify(edge, issued.token)).expires_at == issued.expires_at
    clock.step(seconds=0.001)

    await refused("auth.invalid", verify(edge, issued.token))


async def test_junk_is_dropped_before_the_database(stack: Stack, edge: Edge) -> None:
    await (await stack.pool()).execute("drop table cb.token")

    await refused("auth.invalid", verify(edge, some_token(1)[:-1] + "!"))
    await refused("internal.unexpected", verify(edge, some_token(1)))


async def test_a_revoked_token_is_refused_and_every_edge_is_told(stack: Stack, edge: Edge) -> None:
    issued = await edge.issue()
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(msgspec.json.decode(message.data, type=TokenRevoked).key_id)

    await edge.bus.listen("cb.push.>", hear)
    await settled(edge.bus.client)

    await revoke(edge, issued.key_id, comment="left the company", actor="ann")

    await eventually(lambda: heard == [issued.key_id])
    await refused("auth.invalid", verify(edge, issued.token))
    assert await stack.events("acme") == ["organisation.created", "client.token_issued", "client.token_revoked"]
    [row] = await stack.rows("select meta from cb.event where type = 'client.token_revoked'")
    assert '"comment":"left the company"' in row["meta"]
    assert '"actor":"ann"' in row["meta"]


async def test_revoking_again_changes_nothing_and_tells_the_edges_again(stack: Stack, edge: Edge) -> None:
    issued = await edge.issue()
    await revoke(edge, issued.key_id)
    [before] = await stack.rows("select revoked_at from cb.token")
    told = await edge.bus.client.subscribe(subjects.TOKEN_REVOKED)
    await settled(edge.bus.client)

    assert await revoke(edge, issued.key_id) == Done(seq=0)

    assert issued.key_id.encode() in (await told.next_msg(timeout=PATIENCE)).data
    assert await stack.rows("select revoked_at from cb.token") == [before]
    assert len(await stack.events("acme")) == 3


async def test_tokens_are_listed_without_values(edge: Edge) -> None:
    first, second = await edge.issue(client="one"), await edge.issue(client="two", expires_in_seconds=60)
    await revoke(edge, first.key_id)

    lines = (await listed(edge)).tokens

    assert [(line.client, line.key_id) for line in lines] == [("one", first.key_id), ("two", second.key_id)]
    assert lines[0].revoked_at is not None
    assert lines[1].expires_at == second.expires_at
    assert first.token not in str(lines)


async def test_the_value_of_a_token_is_stored_nowhere(stack: Stack, edge: Edge) -> None:
    issued = await edge.issue()

    stored = await stack.everything_stored()

    assert issued.key_id in stored
    assert issued.token not in stored
    assert issued.token[12:-6] not in stored
    assert issued.token not in repr(issued)
    assert issued.token not in repr(VerifyToken(token=issued.token))


async def test_a_command_delivered_twice_issues_one_token_and_shows_it_once(stack: Stack, edge: Edge) -> None:
    command_id = new_id()
    issued = await edge.issue(command_id=command_id)

    problem = await refused("command.reused", edge.issue(command_id=command_id))

    assert issued.key_id in problem.message
    assert issued.token not in problem.message
    assert problem.data == {"key_id": issued.key_id}
    assert len((await listed(edge)).tokens) == 1
    await refused("command.reused", edge.issue(command_id=command_id, client="other"))


async def test_a_command_delivered_to_two_instances_at_once_issues_one_token(stack: Stack, edge: Edge) -> None:
    await stack.authsvc()
    command_id = new_id()

    answers = await asyncio.gather(*(edge.issue(command_id=command_id) for _ in range(8)), return_exceptions=True)

    assert len([answer for answer in answers if isinstance(answer, TokenIssued)]) == 1
    assert {answer.code for answer in answers if isinstance(answer, Problem)} == {"command.reused"}
    assert len((await listed(edge)).tokens) == 1


async def test_many_tokens_of_one_client_can_be_issued_at_once(stack: Stack, edge: Edge) -> None:
    await stack.authsvc()

    issued = await asyncio.gather(*(edge.issue() for _ in range(30)))

    assert len({answer.key_id for answer in issued}) == 30
    for answer in issued:
        assert (await verify(edge, answer.token)).key_id == answer.key_id


async def test_a_revocation_delivered_twice_answers_the_same(stack: Stack, edge: Edge) -> None:
    issued = await edge.issue()
    command_id = new_id()

    first = await revoke(edge, issued.key_id, command_id=command_id)
    second = await revoke(edge, issued.key_id, command_id=command_id)

    assert first == second == Done(seq=3)
    assert len(await stack.events("acme")) == 3


async def test_an_organisation_cannot_touch_the_tokens_of_another(edge: Edge) -> None:
    await edge.create("zeta")
    issued = await edge.issue("acme")

    await refused("token.unknown", revoke(edge, issued.key_id, organisation="zeta"))

    assert (await listed(edge, "zeta")).tokens == ()
    assert (await verify(edge, issued.token)).organisation == "acme"


@pytest.mark.parametrize("organisation", ["nobody", "*", "", "a.b", "\x00"])
async def test_nothing_is_issued_for_an_organisation_that_does_not_exist(
    stack: Stack, edge: Edge, organisation: str
) -> None:
    await refused("organisation.unknown", edge.issue(organisation))
    await refused("organisation.unknown", revoke(edge, "aaaaaaaa", organisation=organisation))
    await refused("organisation.unknown", listed(edge, organisation))

    assert [
        row["organisation"]
        for row in await stack.rows("select organisation from cb.log_head where organisation <> '_system'")
    ] == ["acme"]


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"scopes": ("administer",)}, "scopes"),
        ({"scopes": ()}, "scopes"),
        ({"client": "\x00"}, "client"),
        ({"playbooks": ("a b",)}, "playbooks"),
        ({"expires_in_seconds": -5}, "expires_in_seconds"),
        ({"expires_in_seconds": 2**62}, "expires_in_seconds"),
    ],
)
async def test_a_bad_argument_is_named(edge: Edge, change: dict[str, Any], argument: str) -> None:
    problem = await refused("argument.invalid", edge.issue(**change))

    assert problem.data == {"argument": argument}


@pytest.mark.parametrize("key_id", ["aaaaaaaa", "", "\x00", "x" * 10_000])
async def test_an_unknown_key_id_cannot_be_revoked(edge: Edge, key_id: str) -> None:
    await refused("token.unknown", revoke(edge, key_id))


async def test_the_actor_and_the_client_stand_in_the_log_and_the_verifier_does_not(stack: Stack, edge: Edge) -> None:
    command = IssueToken(command_id=new_id(), organisation="acme", client="agent", actor="ann")
    await edge.bus.ask(subjects.ISSUE_TOKEN, command, TokenIssued)

    [row] = await stack.rows("select stream, payload, meta from cb.event where type = 'client.token_issued'")

    assert row["stream"] == "client-agent"
    assert '"actor":"ann"' in row["meta"]
    assert set(msgspec.json.decode(row["payload"])) == {
        "type", "client", "key_id", "scopes", "playbooks", "expires_at"
    }  # fmt: skip


async def test_a_commit_is_followed_by_a_hint(stack: Stack, edge: Edge) -> None:
    hints = await (await stack.everywhere()).subscribe(subjects.hint("acme"))

    await edge.issue()

    assert b'"seq":2' in (await hints.next_msg(timeout=PATIENCE)).data
