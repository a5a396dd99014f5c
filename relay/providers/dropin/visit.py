"""One request of an app to a drop-in: what a dialect's handler can ask and do."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request

from relay.errors import Malformed, NotFound
from relay.model import Image, Picture, Scope, Task
from relay.ports import Called, Caller, Count
from relay.providers.dropin.entry import enter
from relay.providers.dropin.house import House
from relay.providers.dropin.key import read_key
from relay.providers.dropin.line import Line
from relay.providers.dropin.order import Order
from relay.providers.dropin.trouble import failure_of
from relay.providers.refusal import Refused, Why
from relay.view import image_view

_MAX_BODY: Final = 32 * 1024 * 1024
_MAX_PICTURE: Final = 64 * 1024 * 1024
_LONGEST_WAIT: Final = 60
_ACCOUNT: Final = "x-relay-account"
_ACCEPTANCE: Final = 5.0
"""Seconds that a provider has to accept or refuse a task before the app gets its id."""
_FETCHING: Final = 3.0
"""Seconds that fetching a picture may take though the time for a held call is over: what was made is worth them."""


class Visit:
    """Whatever a method raises (RequestError, StoreError, Refused, ClientDisconnect), the handler lets it pass.

    `path`: what stands at the place of `{model}` and the like, decoded. `name`: the dialect's own; `maker`: the provider that makes the
    pictures of this caller. `task_id`: the task that this request made or rejoined. `headers`: what the answer has beyond the dialect's.
    """

    def __init__(self, house: House, line: Line, request: Request, *, name: str, path: Mapping[str, str], origin: str) -> None:
        self.request = request
        self.path = path
        self.name = name
        self.maker = name
        self.task_id: str | None = None
        self.headers: dict[str, str] = {}
        self._house = house
        self._line = line
        self._origin = origin
        self._caller: Caller | None = None
        self._until = asyncio.get_running_loop().time() + house.holds.get(name, 0.0)

    @property
    def is_via(self) -> bool:
        """Another provider than the dialect's own makes the pictures."""
        return self.maker != self.name

    def now(self) -> datetime:
        return self._house.clock()

    async def caller(self, scope: Scope) -> Caller:
        """Who asks; an endpoint with `needs` has been asked already. Raises Unauthorized, NotFound (an account that an admin named),
        Refused where `scope` is lacking."""
        caller = self._caller or await self._house.gate.admit(read_key(self.request), account=self.request.headers.get(_ACCOUNT))
        if not caller.may(scope):
            raise Refused(Why.KEY, f"This key lacks the scope {scope}.")
        self._caller = caller
        self.maker = caller.via.get(self.name) or self._house.via.get(self.name, self.name)
        return caller

    async def body(self) -> bytes:
        """The raw body, up to 32 MiB. Raises TooLarge, Late, UnsupportedMediaType (an encoding)."""
        return await self._house.read_body(self.request, _MAX_BODY)

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object, whatever its content type says. Raises TooLarge, Late, Malformed, Invalid."""
        value = self._house.read_value(await self.body())
        if not isinstance(value, dict):
            raise Malformed("The body must be a JSON object.")
        return value

    async def submit(self, order: Order, *, seconds: float | None = None) -> Task:
        """Have it made, and give the task once its provider has accepted it, or as it stands after `seconds`. Raises RequestError;
        Refused if it was refused at once, but not where it is unknown whether it was: then the app needs the id."""
        task = await self._enter(order)
        if seconds is None:  # who answers with the picture itself accepts nothing before
            seconds = 0.0 if self._house.providers[task.provider].describe().result == "response" else _ACCEPTANCE
        task = await self._line.while_there(self._until_accepted(task, seconds))
        refused = failure_of(task) if task.error else None
        if refused and refused.why is not Why.UNKNOWN:
            raise refused
        return task

    async def hold(self, order: Order) -> Task:
        """The same, and give the task when it has succeeded. Raises Refused if it fails, or is not there when the time for a held
        call is over; ClientDisconnect when the app is gone, which ends nothing but this request."""
        task = await self._enter(order)
        task = await self._line.while_there(self._house.tasks.wait(task.account_id, task.id, self._left()))
        if not task.status.is_final:
            raise self._unfinished(task)
        if task.error is not None:
            raise failure_of(task)
        return task

    async def find(self, task_id: str) -> Called:
        """A task that was made through this drop-in, for the key of its account or the `token` of a capability; after `?wait=` seconds
        or at its end. Raises Unauthorized, NotFound."""
        account_id = None if self._is_opened(task_id) else (await self.caller(Scope.READ)).account_id
        called = await self._called(task_id, account_id)
        if called is None:
            raise NotFound(f"There is no task {task_id[:100]} here.")
        seconds = self._patience()
        if called.task.status.is_final or not seconds:
            return called
        task = await self._line.while_there(self._house.tasks.wait(called.task.account_id, task_id, seconds))
        return Called(task=task, call=called.call)

    async def find_many(self, task_ids: Sequence[str]) -> list[Called]:
        """Those of them that are there, in this order. Raises Unauthorized."""
        account_id = (await self.caller(Scope.READ)).account_id
        found = [await self._called(task_id, account_id) for task_id in task_ids]
        return [called for called in found if called is not None]

    async def counts(self, caller: Caller) -> list[Count]:
        """How many tasks there ever were."""
        return await self._house.store.counts(caller.account_id)

    def links(self, task: Task) -> list[str]:
        """Where its pictures open, in order: Relay's signed links where it keeps the bytes, else the maker's, byte for byte."""
        return [url for image in task.images if (url := image_view(image, self._house.link, self.now())["url"])]

    async def pictures(self, task: Task) -> list[Picture]:
        """The bytes of its pictures, in order, with their content types; fetched under guard where Relay does not keep them. Raises
        Refused."""
        try:
            async with asyncio.timeout(self._left() + _FETCHING):
                return await self._line.while_there(self._all_pictures(task))
        except TimeoutError:
            problem = "in time"
        except ValueError as exc:
            problem = f": {exc}"
        raise Refused(Why.OVERRUN, f"The picture is made, but could not be fetched {problem}".replace(" :", ":"), task_id=task.id)

    def url(self, path: str, task_id: str, **query: str) -> str:
        """The absolute URL of a path of this dialect, with this query and a `token` that opens the task without a key."""
        token = self._house.seal.sign(task_id).removeprefix(f"{task_id}.")
        return f"{self._origin}{path}?{urlencode({**query, 'token': token})}"

    def credits_left(self) -> float | None:
        """What the maker last said is left on Relay's account with it."""
        return self._house.credits.get(self.maker)

    async def _enter(self, order: Order) -> Task:
        caller = await self.caller(Scope.SUBMIT)
        entered = await enter(self._house, self._line, caller, order, self.request, name=self.name, maker=self.maker)
        self.task_id = entered.task.id
        self.headers["x-relay-task-id"] = self.task_id
        self._house.say(self.request.scope, task=self.task_id)
        if entered.approximated:
            self.headers["x-relay-approximated"] = ", ".join(entered.approximated)
        return entered.task

    async def _until_accepted(self, task: Task, seconds: float) -> Task:
        until = asyncio.get_running_loop().time() + seconds
        with self._house.bell.listen(f"task:{task.id}") as changed:
            while True:
                task = await self._house.store.task(task.account_id, task.id) or task
                left = until - asyncio.get_running_loop().time()
                if task.accepted or task.status.is_final or left <= 0 or self._house.stopping.is_set():
                    return task
                await changed.wait(left)

    def _left(self) -> float:
        """Seconds that a held call may go on."""
        return max(0.0, self._until - asyncio.get_running_loop().time())

    def _unfinished(self, task: Task) -> Refused:
        if self._house.stopping.is_set():
            return Refused(Why.BUSY, "Relay is stopping; the same request again is given this task.", task_id=task.id)
        seconds = self._house.holds.get(self.name, 0.0)
        message = (f"The picture was not there after {seconds:g} s; it is still being made, as {task.id}. The same request again within "
                   "10 minutes waits for it and makes no new one.")
        return Refused(Why.OVERRUN, message, task_id=task.id)

    def _is_opened(self, task_id: str) -> bool:
        token = self.request.query_params.get("token")
        return bool(token) and self._house.seal.read(f"{task_id}.{token}") == task_id

    async def _called(self, task_id: str, account_id: str | None) -> Called | None:
        """None of those that another drop-in made, or another account, unless that does not matter."""
        called = await self._house.store.called(task_id)
        is_theirs = called is not None and called.task.dropin == self.name and account_id in (None, called.task.account_id)
        return called if is_theirs else None

    def _patience(self) -> float:
        written = self.request.query_params.get("wait", "")
        return float(min(int(written), _LONGEST_WAIT)) if written.isdecimal() and len(written) < 10 else 0.0

    async def _all_pictures(self, task: Task) -> list[Picture]:
        """At the same time. Raises what the first that failed raised; the others are given up."""
        try:
            async with asyncio.TaskGroup() as group:
                fetched = [group.create_task(self._picture(task, image), name=f"fetch {image.id}") for image in task.images]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [picture.result() for picture in fetched]

    async def _picture(self, task: Task, image: Image) -> Picture:
        kept = await self._house.archive.read(image.id) if image.kept else None
        if kept is not None:
            return Picture(data=kept[0], content_type=kept[1])
        if image.source_url is None:
            raise ValueError("it is no longer kept")
        return await self._house.fetchers[task.provider].fetch(image.source_url, max_bytes=_MAX_PICTURE, timeout=self._left() + _FETCHING)
