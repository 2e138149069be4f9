"""The bus: one NATS connection per process, FastStream for commands and asks, bare messages for the call path.

Replies: the JSON of the answer, or of a `ProblemBody` with the header `cb-problem`. A handler that fails
unexpectedly answers `internal.unexpected`, so that no caller waits for its time-out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_type_hints

import msgspec
import nats.errors
import structlog
from fast_depends.msgspec import MsgSpecSerializer
from faststream import ExceptionMiddleware, StreamMessage
from faststream.nats import NatsBroker, NatsResponse
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from callboard.contracts import subjects
from callboard.contracts.layers import SYSTEM
from callboard.contracts.problems import Problem, ProblemBody
from callboard.platform.bus_wire import Direct, Take, Writer, wire
from callboard.platform.postgres import UNREACHABLE
from callboard.platform.settings import CommonSettings
from callboard.platform.traced_bus import HEADER, TracedMessages
from callboard.platform.traces import current, open_traces
from callboard.platform.walls import confined

log = structlog.get_logger()
Answer = TypeVar("Answer", bound=msgspec.Struct)

encode = msgspec.json.Encoder().encode
decode_problem = msgspec.json.Decoder(ProblemBody).decode
PROBLEM_HEADER = "cb-problem"
_STRAGGLER_SECONDS = 0.03
_FLUSH_SECONDS = 10.0
_UNTIL_DISCONNECTED = 24 * 3600


def _problem_answer(problem: Problem) -> NatsResponse:
    return NatsResponse(encode(problem.body()), headers={PROBLEM_HEADER: problem.code})


def _exceptions() -> ExceptionMiddleware:
    middleware = ExceptionMiddleware()

    @middleware.add_handler(Problem, publish=True)
    async def expected(error: Problem) -> NatsResponse:
        return _problem_answer(error)

    @middleware.add_handler(Exception, publish=True)
    async def unexpected(error: Exception) -> NatsResponse:
        if isinstance(error, UNREACHABLE):
            # Commands carry their id, so whoever asked may ask again.
            log.info("database_away", reason=type(error).__name__)
            return _problem_answer(Problem("database.unavailable", "Postgres is away for the moment"))
        # The detail stays in this process's log; the caller learns only that something went wrong.
        log.error("handler_failed", error=type(error).__name__, exc_info=error)
        return _problem_answer(Problem("internal.unexpected", "something went wrong inside Callboard"))

    return middleware


class Bus:
    """The connection of one instance of one room."""

    def __init__(self, room: str, instance: str, settings: CommonSettings) -> None:
        self.room = room
        self.instance = instance
        self._settings = settings
        self.traces = open_traces(room, instance, settings)
        self._inbox = f"{subjects.inbox(room)}.{instance}"
        self._numbers = 0
        self._flushing: set[asyncio.Task[bool]] = set()
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self.broker = NatsBroker(
            settings.nats_url,
            name=f"{room}/{instance}",
            apply_types=False,
            serializer=MsgSpecSerializer(),
            middlewares=[_exceptions(), *(() if self.traces is None else (TracedMessages.of(self.traces),))],
            inbox_prefix=self._inbox,
            user_credentials=settings.nats_credentials or None,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,  # type: ignore[arg-type]  # nats-py takes seconds as a float
            connect_timeout=2,
            ping_interval=5,
            max_outstanding_pings=2,
            pending_size=64 * 1024 * 1024,
            reconnected_cb=self._on_reconnect,
            disconnected_cb=self._on_disconnect,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            graceful_timeout=3.0,
            logger=None,
        )
        self._client: Client | None = None
        self._writer: Writer | None = None
        self._publishing: set[asyncio.Task[None]] = set()

    @property
    def client(self) -> Client:
        """The bare nats-py connection (the one FastStream uses)."""
        assert self._client is not None, "the bus is not connected"
        return self._client

    @property
    def connected(self) -> bool:
        """Whether the server is reachable right now."""
        return self._client is not None and self._client.is_connected

    @property
    def max_payload(self) -> int:
        """The server's limit for one message, in bytes."""
        return self.client.max_payload

    async def connect(self, *, within: float = 60.0) -> None:
        """Connect without subscribing yet; waits for the server at most `within` seconds."""
        deadline = asyncio.get_running_loop().time() + within
        while True:
            try:
                self._client = await self.broker.connect()
                self._writer = wire(self._client)
                return
            except (OSError, nats.errors.Error, TimeoutError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise Problem("bus.unavailable", "NATS did not answer in time") from error
                log.info("waiting_for_nats", reason=type(error).__name__)
                await asyncio.sleep(0.1)

    async def serve(self) -> None:
        """Start the FastStream subscribers; when this returns the server knows all of them."""
        await self.broker.start()
        await self.settled()

    async def close(self) -> None:
        """Stop taking messages first (drain), then finish what runs, then disconnect."""
        for subscriber in self.broker.subscribers:
            subscription = getattr(subscriber, "subscription", None)
            if isinstance(subscription, Subscription):
                await subscription.drain()  # type: ignore[no-untyped-call]
                subscriber.subscription = None  # type: ignore[attr-defined]  # FastStream must not unsubscribe again
        await self.broker.stop()

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call this after the connection was lost and is there again."""
        self._reconnected.append(callback)

    async def _on_reconnect(self) -> None:
        log.info("bus_reconnected")
        for callback in self._reconnected:
            await callback()

    async def _on_disconnect(self) -> None:
        log.info("bus_disconnected")
        for flushing in self._flushing:
            flushing.cancel()  # nats-py has forgotten what was asked on the connection that is gone

    async def _on_closed(self) -> None:
        log.info("bus_closed")

    async def _on_error(self, error: Exception) -> None:
        log.warning("bus_error", error=str(error)[:200])

    async def ask(self, subject: str, message: msgspec.Struct, answer: type[Answer], within: float = 10.0) -> Answer:
        """Request and reply; a refusal comes back as the `Problem` that the other side raised."""
        try:
            reply = await self.client.request(subject, encode(message), timeout=within, headers=self._context())
        except nats.errors.NoRespondersError:
            raise Problem("bus.unavailable", f"nobody answers {subject}", subject=subject) from None
        except (nats.errors.Error, TimeoutError) as error:
            reason = type(error).__name__
            raise Problem("bus.unavailable", f"no answer on {subject} ({reason})", subject=subject) from None
        if reply.headers and PROBLEM_HEADER in reply.headers:
            raise Problem.from_body(decode_problem(reply.data))
        return msgspec.json.decode(reply.data, type=answer)

    async def tell(self, subject: str, message: msgspec.Struct) -> None:
        """Publish without an answer."""
        context = self._context()
        if context is None:
            await self.publish(subject, encode(message))
        else:
            await self.client.publish(subject, encode(message), headers=context)

    def _context(self) -> dict[str, Any] | None:
        """The headers of a message that belongs to something sampled."""
        if self.traces is None or not (traceparent := current()):
            return None
        return {HEADER: traceparent}

    def put(self, subject: str, payload: bytes, reply: str = "") -> bool:
        """Publish bytes now; False, and nothing was done, when that would have to wait or to fail: see `publish`."""
        return self._writer is not None and self._writer.put(subject, payload, reply)

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Publish bytes; waits only when the server does not keep up. Raises nats-py's errors."""
        if not self.put(subject, payload, reply):
            await self.client.publish(subject, payload, reply=reply)

    def send(self, subject: str, payload: bytes, reply: str = "") -> None:
        """The same from where nothing may wait. What cannot be sent is logged and lost, as it is on a broken bus."""
        if not self.put(subject, payload, reply):
            task = asyncio.create_task(self._send_later(subject, payload, reply))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    async def _send_later(self, subject: str, payload: bytes, reply: str) -> None:
        try:
            await self.client.publish(subject, payload, reply=reply)
        except (nats.errors.Error, OSError) as error:
            log.warning("not_sent", subject=subject, reason=type(error).__name__)

    async def flush(self) -> bool:
        """Wait for an answer of the server; False when there was none within 10 s, or the connection was lost.

        The question overtakes what still waits to be written here: see `settled`.
        """
        if not self.connected:
            return False
        # nats-py stops reading when the answer to a flush comes and nobody waits for it any more: so one that is
        # cancelled, or takes too long, goes on by itself.
        flushing = asyncio.create_task(self._flushed())
        self._flushing.add(flushing)
        flushing.add_done_callback(self._flushing.discard)
        await asyncio.wait({flushing}, timeout=_FLUSH_SECONDS)
        return flushing.done() and not flushing.cancelled() and flushing.result()

    async def _flushed(self) -> bool:
        try:
            await self.client.flush(_UNTIL_DISCONNECTED)
        except (nats.errors.Error, OSError):
            return False
        return True

    async def settled(self) -> bool:
        """Wait until the server has taken what was published and knows what is subscribed here; False as in `flush`."""
        # Twice: nats-py writes the PING of a flush past the commands that still wait to be written, so the first
        # answer may come before the server has seen them.
        return await self.flush() and await self.flush()

    async def gather(
        self,
        subject: str,
        message: msgspec.Struct,
        answer: type[Answer],
        within: float,
        enough: Callable[[list[Answer]], bool] | None = None,
    ) -> list[Answer]:
        """Broadcast and collect the answers that come within `within` seconds.

        Once they are `enough`, whatever else comes within 30 ms is taken too.
        """
        inbox = self.new_inbox()
        subscription = await self.client.subscribe(inbox)
        answers: list[Answer] = []
        try:
            await self.client.publish(subject, encode(message), reply=inbox)
            async with asyncio.timeout(within):
                while True:
                    settled = enough is not None and enough(answers)
                    reply = await subscription.next_msg(timeout=_STRAGGLER_SECONDS if settled else within)
                    if reply.headers and reply.headers.get("Status") == "503":
                        break
                    answers.append(msgspec.json.decode(reply.data, type=answer))
        except (TimeoutError, nats.errors.TimeoutError):
            pass
        finally:
            await subscription.unsubscribe()
        return answers

    def new_inbox(self) -> str:
        """An inbox of this instance that nobody used before."""
        self._numbers += 1
        return f"{self._inbox}.g{self._numbers}"

    async def listen(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], queue: str = "", pending: int = 65536
    ) -> Subscription:
        """A bare subscription, for pushed facts and whatever takes its time; one message after the other."""
        return await self.client.subscribe(
            subject,
            queue=queue,
            cb=callback,
            pending_msgs_limit=pending,
            pending_bytes_limit=256 * 1024 * 1024,
        )

    async def hear(self, subject: str, take: Take, queue: str = "") -> Subscription:
        """A subscription of the call path: `take` is called where the message is read, and may not wait."""
        return await self.client.subscribe(subject, queue=queue, cb=Direct(take))


Handler = Callable[[Any], Awaitable[msgspec.Struct | None]]


def register(
    bus: Bus,
    subject: str,
    handler: Handler,
    *,
    queue: str | None = None,
    workers: int = 16,
    confine: bool = True,
) -> None:
    """Subscribe a handler of one typed message through FastStream; `queue` shares the work of a room.

    A message that names an organisation is handled behind that one's walls (`platform.walls`), unless `confine` is off.
    The message is decoded here and not by FastStream, which goes through plain data and so loses `msgspec.Raw`.
    """
    decode = msgspec.json.Decoder(next(iter(get_type_hints(handler).values()))).decode

    async def handle(body: bytes) -> bytes:
        try:
            message = decode(body)
        except msgspec.DecodeError as error:
            # msgspec names the field and the type it wants, never the value.
            raise Problem("argument.invalid", f"malformed message: {error}") from None
        organisation = getattr(message, "organisation", "") if confine else ""
        # What has none is asked before it is known whose it is, or by the installation, as what is for its own log.
        with contextlib.nullcontext() if organisation in ("", SYSTEM) else confined(organisation):
            answer = await handler(message)
        body = encode(answer) if answer is not None else b""
        if len(body) > bus.max_payload - 4096:
            size, limit = len(body) / 1e6, bus.max_payload / 1e6
            raise Problem("payload.too_large", f"the answer is {size:.1f} MB; NATS carries {limit:.1f} MB here")
        return body

    shared = queue if queue is not None else bus.room
    bus.broker.subscriber(subject, queue=shared, max_workers=workers, decoder=_undecoded)(handle)


async def _undecoded(message: StreamMessage[Any]) -> bytes:
    body: bytes = message.body
    return body
