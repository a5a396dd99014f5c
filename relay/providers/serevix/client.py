"""The client of Serevix: submit, then ask for the result until it is there. It sends no callbacks."""

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NoReturn
from urllib.parse import quote

import msgspec

from relay.errors import Fate, ProviderError, Unreadable
from relay.model import ErrorCode, Task, Update
from relay.ports.provider import CallbackTarget, InputImage, Message, ProviderConfig, ProviderInfo, TaskRequest
from relay.providers.http import Endpoint, Http, limits_for
from relay.providers.parameters import check, describe, native
from relay.providers.serevix.reading import read_accepted, read_result
from relay.providers.serevix.rendering import result_body
from relay.providers.serevix.wire import BASE_URL, LIMITS, RESULT_PATH, SUBMIT_PATH, TABLE, TIMEOUT

_ENCODER: Final = msgspec.json.Encoder()


class Serevix:
    """Serevix's Flux gateway (BFL-shaped). `clock` gives the present, for a Retry-After that is a date."""

    image_as: Literal["data", "url"] | None = "data"
    echoes_secret = False
    confirm = False

    def __init__(self, config: ProviderConfig, *, user_agent: str, clock: Callable[[], datetime]) -> None:
        self.name = TABLE.provider
        self.limits = limits_for(config, LIMITS)
        self.deadline = config.deadline
        self._http = Http(Endpoint(
            name=self.name, base_url=config.base_url or BASE_URL, key=config.api_key,
            auth={"authorization": f"Bearer {config.api_key}"}, user_agent=user_agent, timeout=config.timeout or TIMEOUT,
        ), clock=clock)

    def describe(self) -> ProviderInfo:
        return describe(TABLE, is_configured=self._http.is_configured, result="poll")

    def check(self, request: TaskRequest) -> None:
        check(request, TABLE, is_configured=self._http.is_configured)

    def model_for(self, request: TaskRequest) -> str:
        return TABLE.model(request)

    async def submit(self, task: Task, *, image: InputImage | None, callback: CallbackTarget | None) -> Update:  # noqa: ARG002 -- it calls nobody back
        path = SUBMIT_PATH + quote(task.model or TABLE.default, safe="")
        return await self._http.ask(read_accepted, "POST", path, json=_submission(task, image), fresh=True)

    async def fetch(self, task: Task) -> Update:
        asked = task.provider_task_id
        if asked is None:
            raise ProviderError(ErrorCode.PROVIDER_ERROR, "there is no id to ask Serevix with", fate=Fate.UNKNOWN)
        return await self._http.ask(lambda answer: read_result(answer, asked=asked), "GET", RESULT_PATH, params={"id": asked})

    def is_authentic(self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], task: Task | None) -> bool:  # noqa: ARG002 -- it calls nobody back
        return False

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> NoReturn:  # noqa: ARG002 -- it calls nobody back
        raise Unreadable("Serevix sends no callbacks.")

    def callback_for(self, task: Task, urls: Sequence[str]) -> Message:
        return Message(body=_ENCODER.encode(result_body(task, urls, task_id=task.provider_task_id or task.id)))

    async def aclose(self) -> None:
        await self._http.aclose()


def _submission(task: Task, image: InputImage | None) -> dict[str, Any]:
    picture = {"image_prompt": base64.b64encode(image.data).decode()} if image and image.data else {}
    return {"prompt": task.prompt or "", **native(task, TABLE), **picture}
