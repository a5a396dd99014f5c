"""The client of APIFRAME: submit with a webhook and a secret of its own for each task; fetch where the webhook is late."""

import base64
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from relay.errors import Fate, ProviderError
from relay.model import ErrorCode, Task, Update
from relay.ports.provider import CallbackTarget, InputImage, Message, ProviderConfig, ProviderInfo, TaskRequest
from relay.providers.apiframe.reading import read_accepted, read_fetched, read_webhook
from relay.providers.apiframe.rendering import notice
from relay.providers.apiframe.wire import (
    BASE_URL,
    ECHO_HEADER,
    FETCH_PATH,
    LIMITS,
    SUBMIT_PATH,
    TABLE,
    TALLEST,
    TIMEOUT,
    WIDEST,
)
from relay.providers.http import Endpoint, Http, limits_for
from relay.providers.parameters import Problem, check, describe, native
from relay.providers.value import value_problem

_ENCODER: Final = msgspec.json.Encoder()


class Apiframe:
    """APIFRAME v1. The key goes out raw, as its document shows. `clock` gives the present, for a Retry-After that is a date."""

    image_as: Literal["data", "url"] | None = "data"
    echoes_secret = True
    confirm = False

    def __init__(self, config: ProviderConfig, *, user_agent: str, clock: Callable[[], datetime]) -> None:
        self.name = TABLE.provider
        self.limits = limits_for(config, LIMITS)
        self.deadline = config.deadline
        self._http = Http(Endpoint(
            name=self.name, base_url=config.base_url or BASE_URL, key=config.api_key,
            auth={"authorization": config.api_key or ""}, user_agent=user_agent, timeout=config.timeout or TIMEOUT,
        ), clock=clock)

    def describe(self) -> ProviderInfo:
        return describe(TABLE, is_configured=self._http.is_configured, result="callback")

    def check(self, request: TaskRequest) -> None:
        check(request, TABLE, is_configured=self._http.is_configured, rule=_ratio_problems)

    def model_for(self, request: TaskRequest) -> str:
        return TABLE.model(request)

    async def submit(self, task: Task, *, image: InputImage | None, callback: CallbackTarget | None) -> Update:
        return await self._http.ask(read_accepted, "POST", SUBMIT_PATH, json=_submission(task, image, callback), fresh=True)

    async def fetch(self, task: Task) -> Update:
        asked = task.provider_task_id
        if asked is None:
            raise ProviderError(ErrorCode.PROVIDER_ERROR, "there is no id to ask APIFRAME with", fate=Fate.UNKNOWN)
        return await self._http.ask(lambda answer: read_fetched(answer, asked=asked), "POST", FETCH_PATH, json={"task_id": asked})

    def is_authentic(self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], task: Task | None) -> bool:  # noqa: ARG002 -- the secret is all there is
        given = headers.get(ECHO_HEADER, "").encode("utf-8", "surrogatepass")
        return any([hmac.compare_digest(given, secret.encode()) for secret in secrets if secret])  # noqa: C419 -- compares with each, whichever fits

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Update:  # noqa: ARG002 -- all stands in the body
        return self._http.without_key(read_webhook(body))

    def callback_for(self, task: Task, urls: Sequence[str]) -> Message:
        return Message(body=_ENCODER.encode(notice(task, urls, task_id=task.provider_task_id or task.id)))

    async def aclose(self) -> None:
        await self._http.aclose()


def _submission(task: Task, image: InputImage | None, callback: CallbackTarget | None) -> dict[str, Any]:
    picture = {"image_prompt": base64.b64encode(image.data).decode()} if image and image.data else {}
    target = {"webhook_url": callback.url, "webhook_secret": callback.secret} if callback else {}
    return {"model": task.model or TABLE.default, "prompt": task.prompt or "", **native(task, TABLE), **picture, **target}


def _ratio_problems(request: TaskRequest, model: str) -> Iterator[Problem]:
    """A ratio of the right form must lie between 21:9 and 9:21, in either spelling of the field."""
    parameter = TABLE.parameters(model).get("aspect_ratio")
    given = {"aspect_ratio": request.aspect_ratio, "options.aspect_ratio": (request.options or {}).get("aspect_ratio")}
    for field, ratio in given.items():
        if parameter is None or not isinstance(ratio, str) or value_problem(parameter, ratio):
            continue
        width, height = (int(side) for side in ratio.split(":"))
        if not TALLEST <= width / height <= WIDEST:
            yield Problem(field, f"must be between 21:9 and 9:21, not {ratio}")
