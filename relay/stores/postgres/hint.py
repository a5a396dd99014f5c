"""The bell, heard in the other processes too.

What was rung after a commit is told to them by NOTIFY: a hint that there is something to look at, never what. What is rung within ten
milliseconds goes together. Nothing rests on it: a hint that is lost, by a pooler or an outage, costs two seconds at most, since every
process looks at everything with every other heartbeat. Behind a pooler that gives each transaction another session none is ever heard: that
is noticed, since nobody hears its own hints either, and said; the URL may name the server itself (`listen=host:port`). A connection that
only listens would never notice that there is nobody at its other end: it asks for something now and then.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from relay.bell import Bell
from relay.errors import StoreError
from relay.stores.postgres.connection import connect
from relay.stores.postgres.fault import in_words
from relay.stores.postgres.line import Line
from relay.stores.postgres.target import Target

_log = logging.getLogger(__name__)

_CHANNEL: Final = "relay"
_EVERYTHING: Final = "*"
_TOGETHER_SECONDS: Final = 0.01
_MOST_CHARACTERS: Final = 7_000  # of 8,000 that a payload may have
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_ECHO_SECONDS: Final = 10.0
_QUIET_SECONDS: Final = 30.0


class Hints:
    """`sender` tells its own hints from those of others."""

    def __init__(self, target: Target, bell: Bell, sender: str) -> None:
        self._target = msgspec.structs.replace(target, dsn=target.hints_dsn)
        self._bell = bell
        self._sender = sender
        self._line = Line(target)
        self._topics: dict[str, None] = {}
        self._something = asyncio.Event()
        self._echo = asyncio.Event()
        self._is_known = False  # that they are not heard

    def tell(self, topics: Sequence[str]) -> None:
        """The others are to look there."""
        self._topics.update(dict.fromkeys(topics))
        self._something.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_all(), name="send hints")
            group.create_task(self._hear_all(), name="hear hints")

    async def _send_all(self) -> None:
        try:
            while True:
                await self._something.wait()
                await asyncio.sleep(_TOGETHER_SECONDS)
                await self._send()
        finally:
            self._line.cut()

    async def _send(self) -> None:
        topics, self._topics = self._topics, {}
        self._something.clear()
        payload = "\n".join((self._sender, *topics))
        if len(payload) > _MOST_CHARACTERS:
            payload = f"{self._sender}\n{_EVERYTHING}"
        try:
            await self._line.fetch("SELECT pg_notify(:channel, :payload)", {"channel": _CHANNEL, "payload": payload})
        except StoreError:  # that the database is not there is said elsewhere
            await asyncio.sleep(_FIRST_PAUSE)

    async def _hear_all(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._hear_until_lost()
                pause = _FIRST_PAUSE
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
                self._complain(in_words(exc))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _hear_until_lost(self) -> None:
        connection: Any = await connect(self._target)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(_CHANNEL, self._hear)
            self._bell.ring_all()  # what was told before is lost
            await self._hear_oneself()
            while not await _comes(lost, _QUIET_SECONDS):
                await connection.execute("SELECT 1")  # within the time that a statement may take
        finally:
            connection.terminate()

    async def _hear_oneself(self) -> None:
        self._echo.clear()
        self.tell(())
        if await _comes(self._echo, _ECHO_SECONDS):
            self._is_known = False
        else:
            self._complain("nothing comes through; behind a pooler, name the server itself by listen=host:port in RELAY_DATABASE_URL")

    def _complain(self, why: str) -> None:
        """Once, until it works again."""
        if not self._is_known:
            _log.warning("hints of other processes are not heard, which costs up to two seconds: %s", why)
        self._is_known = True

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        sender, *topics = payload.split("\n")
        if sender == self._sender:
            self._echo.set()
            return
        if topics == [_EVERYTHING]:
            self._bell.ring_all()
        for topic in topics:
            self._bell.ring(topic)


async def _comes(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
