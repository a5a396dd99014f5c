"""Segmind's Flux 1.1 Pro: one call, whose answer is the picture.

The call is never repeated once it was begun: Segmind bills each, and a connection that breaks says nothing about the work.
There is no query and no callback, so such a task ends with its outcome unknown.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from relay.errors import Fate, ProviderError, Unreadable
from relay.model import ErrorCode, Task, Update
from relay.ports import CallbackTarget, InputImage, Message, ProviderConfig, ProviderInfo, TaskRequest
from relay.providers import parameters
from relay.providers.http import Endpoint, Http, limits_for
from relay.providers.parameters import Problem
from relay.providers.segmind import reading, rendering, wire


class Segmind:
    """Segmind, Flux 1.1 Pro. The contract of every method is that of ports.Provider."""

    name: str = wire.TABLE.provider
    image_as: Literal["data", "url"] | None = None
    echoes_secret: bool = False
    confirm: bool = False

    def __init__(self, config: ProviderConfig, *, user_agent: str, clock: Callable[[], datetime]) -> None:
        self.limits = limits_for(config, wire.LIMITS)
        self.deadline = config.deadline
        self._http = Http(Endpoint(
            name=self.name, base_url=config.base_url or wire.BASE_URL, key=config.api_key,
            auth={wire.KEY_HEADER: config.api_key or ""}, user_agent=user_agent,
            timeout=wire.TIMEOUT if config.timeout is None else config.timeout,
        ), clock=clock)

    def describe(self) -> ProviderInfo:
        return parameters.describe(wire.TABLE, is_configured=self._http.is_configured, result="response")

    def check(self, request: TaskRequest) -> None:
        parameters.check(request, wire.TABLE, is_configured=self._http.is_configured, rule=_size_rule)

    def model_for(self, request: TaskRequest) -> str:
        return wire.TABLE.model(request)

    async def submit(self, task: Task, *, image: InputImage | None, callback: CallbackTarget | None) -> Update:  # noqa: ARG002
        """`image` and `callback` are not used: Segmind's page has neither."""
        return await self._http.ask(
            reading.read_picture, "POST", wire.PATH, json=_body(task), headers={"accept": "image/*, application/json"},
            max_bytes=wire.MAX_PICTURE_BYTES, fresh=True,
        )

    async def fetch(self, task: Task) -> Update:  # noqa: ARG002 -- there is nothing to ask
        raise ProviderError(ErrorCode.PROVIDER_ERROR, "Segmind cannot be asked for a result", fate=Fate.UNKNOWN)

    def is_authentic(self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], task: Task | None) -> bool:  # noqa: ARG002
        """Never: Segmind does not call back."""
        return False

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Update:  # noqa: ARG002
        raise Unreadable("Segmind does not call back.")

    def callback_for(self, task: Task, urls: Sequence[str]) -> Message:
        """The result as version 2 of the API has it, since that of version 1 is the bare picture."""
        result = rendering.result_of(task, urls, request_id=task.provider_task_id or task.id)
        return Message(body=msgspec.json.encode(result))

    async def aclose(self) -> None:
        await self._http.aclose()


def _size_rule(request: TaskRequest, model: str) -> Iterator[Problem]:  # noqa: ARG001 -- there is one model
    if request.aspect_ratio is not None and (request.width is not None or request.height is not None):
        yield Problem("aspect_ratio", "cannot be given together with width or height, which count only without it")


def _body(task: Task) -> dict[str, Any]:
    body = {"prompt": task.prompt, **parameters.native(task, wire.TABLE)}
    if "width" in task.input or "height" in task.input:
        body["aspect_ratio"] = wire.CUSTOM
    if "output_format" in task.input:
        body["output_format"] = wire.OUTPUT_FORMATS[task.input["output_format"]]
    return body
