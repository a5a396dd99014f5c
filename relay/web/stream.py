"""Events as they happen, over Server-Sent Events.

Each message has the event's id as its `id`, its type as `event` and the frozen body as `data`. A client that comes back with
Last-Event-ID gets all that was committed since then, in the order of commit. The stream begins with the id of what was before it, so
that a client which saw no event yet loses none either. What it reads is the store, the bell only says when to look, so nothing is lost
between the two. A comment every 15 seconds keeps proxies from giving up; the stream ends when the process stops, and the client comes
back.
"""

import asyncio
import re
from typing import Final

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from relay.bell import Listener
from relay.model import Event
from relay.model import Scope as KeyScope
from relay.web.listing import Text
from relay.web.operation import Answer, Call, NoBody, Operation
from relay.web.parts import Web
from relay.web.pattern import check_patterns, matches

_KEEP_ALIVE: Final = 15.0
_BATCH: Final = 20  # what a stream holds in memory while its client does not read
_BEFORE_ALL: Final = "evt_0"
_ID: Final = re.compile(r"evt_[0-9a-z]{1,60}")
_HEADERS: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


class StreamQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`types`: globs, separated by commas. `last_event_id`: as the header, for clients that cannot set it."""

    types: Text = "*"
    task_id: Text | None = None
    last_event_id: Text | None = None


async def stream_events(call: Call[StreamQuery, NoBody]) -> "EventStream":
    asked = call.query
    patterns = tuple(part.strip() for part in asked.types.split(","))
    check_patterns(patterns, "types")
    after = call.request.headers.get("last-event-id") or asked.last_event_id
    if after is not None and not _ID.fullmatch(after):
        after = None  # no id of ours ("null", as some clients send): in the order of ids, nothing might ever come after it
    return EventStream(call.web, call.account_id, patterns, asked.task_id, after)


class EventStream:
    """The answer, as an ASGI application. `after`: the last event that the client has; None: from now on."""

    def __init__(self, web: Web, account_id: str, patterns: tuple[str, ...], task_id: str | None, after: str | None) -> None:
        self._web = web
        self._account_id = account_id
        self._patterns = patterns
        self._task_id = task_id
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        with self._web.bell.listen(f"events:{self._account_id}") as listener:
            if self._after is None:
                self._after = await self._web.store.last_event_id(self._account_id) or _BEFORE_ALL
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _send_chunk(send, b": connected\nid: %s\n\n" % self._after.encode())
            await self._tell_until_over(listener, receive, send)

    async def _tell_until_over(self, listener: Listener, receive: Receive, send: Send) -> None:
        telling = asyncio.create_task(self._tell(listener, send), name="event stream")
        leaving = asyncio.create_task(_client_leaves(receive), name="event stream: client")
        stopping = asyncio.create_task(self._web.stopping.wait(), name="event stream: stop")
        try:
            await asyncio.wait((telling, leaving, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (telling, leaving, stopping):
                task.cancel()
            results = await asyncio.gather(telling, leaving, stopping, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]
        if not leaving.done() or leaving.cancelled():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, listener: Listener, send: Send) -> None:
        while True:
            events = await self._web.store.events_since(self._account_id, self._after, limit=_BATCH)
            for event in events:
                if self._is_wanted(event):
                    await _send_chunk(send, _message(event))
                self._after = event.id
            if len(events) < _BATCH and not await listener.wait(_KEEP_ALIVE):
                await _send_chunk(send, b": still here\n\n")

    def _is_wanted(self, event: Event) -> bool:
        return bool(event.body) and matches(event.type, self._patterns) and self._task_id in (None, event.task_id)


def _message(event: Event) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event.id.encode(), event.type.encode(), event.body)


async def _send_chunk(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


OPERATIONS = (
    Operation(
        method="GET", path="/api/v1/events/stream", id="streamEvents", tag="Events", summary="Events as they happen (SSE)",
        handle=stream_events,
        description="`id` is the event's id, `event` its type, `data` exactly what a subscriber receives. With Last-Event-ID it resumes "
                    "without loss, else it begins now.",
        needs=KeyScope.READ, query=StreamQuery, headers=("Last-Event-ID",),
        answers={200: Answer(means="The stream.", shape=None, media_type="text/event-stream")},
    ),
)
