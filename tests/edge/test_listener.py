"""What an agent missed is worked out from what it has heard, wherever its stream went on."""

from __future__ import annotations

from callboard.contracts.replays import StreamNews
from callboard_edge.mcp.gate import Asker, Place
from callboard_edge.mcp.listener import Listener, News

PLACE = Place("acme", "p", 0)
WATCHED = {"a://1": "up", "a://2": "up"}


def listener(etags: dict[str, str]) -> Listener:
    asker = Asker("ann", "key", anonymous=False, session="session")
    return Listener(PLACE, asker, frozenset({"tools", "prompts"}), etags, WATCHED, "stream")


async def heard(one: Listener) -> News:
    """What it tells now, numbered as it goes out."""
    news = await one.news(0.01)
    for what in (*news.kinds, *news.uris):
        one.told(what)
    return news


async def test_what_was_told_after_the_last_event_heard_is_told_again() -> None:
    one = listener({"tools": "1"})
    one.offer({"tools": "2"})
    assert await heard(one) == News(["tools"], [], [])
    one.updated("up", "a://1")
    assert await heard(one) == News([], ["a://1"], [])
    assert one.hand_over(2) == StreamNews(held=True, etags={"tools": "2"})
    assert one.hand_over(1) == StreamNews(held=True, uris=("a://1",), etags={"tools": "2"})
    assert one.hand_over(0) == StreamNews(held=True, kinds=("tools",), uris=("a://1",), etags={"tools": "2"})


async def test_what_was_never_told_goes_with_the_agent_and_is_not_told_here() -> None:
    one = listener({"tools": "1"})
    one.offer({"tools": "2"})
    one.updated("up", "a://2")
    assert one.hand_over(0) == StreamNews(held=True, kinds=("tools",), uris=("a://2",), etags={"tools": "2"})
    assert one.closed
    assert await one.news(0.01) == News([], [], [])


async def test_the_new_stream_begins_where_the_old_one_ended() -> None:
    one = listener({"tools": "1", "prompts": "1"})
    one.take_over(StreamNews(held=True, kinds=("prompts",), uris=("a://2",), etags={"tools": "2", "prompts": "2"}))
    one.offer({"tools": "2", "prompts": "2"})
    assert await one.news(0.01) == News(["prompts"], ["a://2"], [])


async def test_when_nobody_knows_what_was_missed_everything_followed_may_have_changed() -> None:
    one = listener({"tools": "1"})
    one.take_over(StreamNews(held=False))
    assert await one.news(0.01) == News(["prompts", "tools"], ["a://1", "a://2"], [])


async def test_messages_of_a_server_go_with_the_agent_too() -> None:
    one, two = listener({"tools": "1"}), listener({"tools": "1"})
    for message in (b"1", b"2"):
        one.say(message)
    for message in (await one.news(0.01)).messages:
        one.told_message(message)
    one.say(b"3")
    two.take_over(one.hand_over(1))
    assert (await two.news(0.01)).messages == [b"2", b"3"]


def test_a_resource_that_is_lost_is_not_heard_of_until_it_is_found_again() -> None:
    asker = Asker("ann", "key", anonymous=False, session="session")
    listener = Listener(PLACE, asker, frozenset(), {}, {"a://1": "s", "a://2": "s"})
    listener.updated("s", "a://1")
    listener.lose("a://1", "s")
    listener.updated("s", "a://1")
    assert (listener.watched, listener.lost) == ({"a://2": "s"}, {"a://1": "s"})
    listener.watch({"a://1": "s", "a://2": "s", "a://3": "s"})
    assert [*listener.watched] == ["a://2", "a://3"], "another subscription brings it not back"
    assert listener.hand_over(0).uris == ()
    listener.find("a://1", "s")
    listener.find("a://9", "s")
    assert [*listener.watched] == ["a://2", "a://3", "a://1"]


async def test_what_is_updated_while_the_subscriptions_are_read_is_told_if_it_is_one_of_them() -> None:
    one = listener({})
    one.doubt()
    one.doubt()
    for uri in ("a://1", "b://1", "c://1"):
        one.updated("up", uri)
    assert (await one.news(0.01)).uris == ["a://1"]
    one.watch({"a://1": "up", "b://1": "up"})
    one.settled()
    assert (await one.news(0.01)).uris == [], "another reading is under way"
    one.settled()
    assert (await one.news(0.01)).uris == ["b://1"]
    one.updated("up", "d://1")
    one.watch({"d://1": "up"})
    assert (await one.news(0.01)).uris == [], "it was not in doubt when that came"
