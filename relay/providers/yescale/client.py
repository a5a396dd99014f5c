"""YEScale's Flux in OpenAI's image format: one call, whose answer holds links or base64.

The call is never repeated once it was begun: each is billed, and a connection that breaks says nothing about the work.
There is no query and no callback, so such a task ends with its outcome unknown.

Since the page names no host, there is no default one: YEScale counts as configured when both its base URL and its key are
set. Any gateway of the same format can stand there.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from relay.errors import Fate, ProviderError, Unreadable
from relay.model import ErrorCode, Task, TaskStatus, Update
from relay.ports import CallbackTarget, InputImage, Message, ProviderConfig, ProviderInfo, TaskRequest
from relay.providers import parameters
from relay.providers.answer import Answer
from relay.providers.http import Endpoint, Http, limits_for
from relay.providers.parameters import Problem
from relay.providers.yescale import reading, rendering, wire

_SHOWABLE = 2**63  # what is larger is refused by its type already


class Yescale:
    """YEScale, Flux. The contract of every method is that of ports.Provider."""

    name: str = wire.TABLE.provider
    image_as: Literal["data", "url"] | None = None
    echoes_secret: bool = False
    confirm: bool = False

    def __init__(self, config: ProviderConfig, *, user_agent: str, clock: Callable[[], datetime]) -> None:
        self.limits = limits_for(config, wire.LIMITS)
        self.deadline = config.deadline
        self._clock = clock
        self._http = Http(Endpoint(
            name=self.name, base_url=config.base_url, key=config.api_key, auth={"authorization": f"Bearer {config.api_key}"},
            user_agent=user_agent, timeout=wire.TIMEOUT if config.timeout is None else config.timeout,
        ), clock=clock)

    def describe(self) -> ProviderInfo:
        return parameters.describe(wire.TABLE, is_configured=self._http.is_configured, result="response")

    def check(self, request: TaskRequest) -> None:
        parameters.check(request, wire.TABLE, is_configured=self._http.is_configured, rule=_size_rule)

    def model_for(self, request: TaskRequest) -> str:
        return wire.TABLE.model(request)

    async def submit(self, task: Task, *, image: InputImage | None, callback: CallbackTarget | None) -> Update:  # noqa: ARG002
        """`image` and `callback` are not used: the page has neither."""
        body = {"prompt": task.prompt, "model": task.model or wire.TABLE.default, **parameters.native(task, wire.TABLE)}
        if "width" in task.input:
            body["size"] = _size(task.input["width"], task.input["height"])
        read = functools.partial(_read, clock=self._clock)
        return await self._http.ask(read, "POST", wire.PATH, json=body, max_bytes=wire.MAX_ANSWER_BYTES, fresh=True)

    async def fetch(self, task: Task) -> Update:  # noqa: ARG002 -- there is nothing to ask
        raise ProviderError(ErrorCode.PROVIDER_ERROR, "YEScale cannot be asked for a result", fate=Fate.UNKNOWN)

    def is_authentic(self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], task: Task | None) -> bool:  # noqa: ARG002
        """Never: YEScale does not call back."""
        return False

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Update:  # noqa: ARG002
        raise Unreadable("YEScale does not call back.")

    def callback_for(self, task: Task, urls: Sequence[str]) -> Message:
        """The answer to the call; of a task that is still open, one without pictures."""
        if task.status is TaskStatus.FAILED:
            return Message(body=msgspec.json.encode(rendering.failure_of(task.error)))
        return Message(body=msgspec.json.encode(rendering.answer_of(task, [wire.Item(url=url) for url in urls])))

    async def aclose(self) -> None:
        await self._http.aclose()


def _read(answer: Answer, *, clock: Callable[[], datetime]) -> Update:
    """Links live from the moment of the answer, which may come minutes after the call."""
    return reading.read_pictures(answer, now=clock())


def _size_rule(request: TaskRequest, model: str) -> Iterator[Problem]:  # noqa: ARG001 -- for any model
    width, height = request.width, request.height
    if width is None and height is None:
        return
    if width is None or height is None:
        yield Problem("width" if width is None else "height", f"must be given too: {wire.SIZE_RULE}")
    elif max(abs(width), abs(height)) < _SHOWABLE and _size(width, height) not in wire.SIZES:
        message = f"{wire.SIZE_RULE}, not {_size(width, height)}"
        yield Problem("width", message)
        yield Problem("height", message)


def _size(width: int, height: int) -> str:
    return f"{width}x{height}"
