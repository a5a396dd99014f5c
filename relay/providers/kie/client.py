"""Kie's Flux Kontext: submit with a callback URL, or ask for the record.

Decisions
- A callback's signature covers the task id and a timestamp, not the body. It proves that a callback for this task was sent,
  not what it said; an operator who wants more sets RELAY_KIE_CONFIRM, and the record is fetched before it is believed.
- The signature's timestamp is not compared with the clock. Kie repeats a callback up to 15 minutes after a failure, does not
  say whether it signs anew, and names no window: a window would refuse the last delivery of a paid picture, and refuse
  little else, for what is replayed can only say again that this task ended.
- The signed id is the one that the body names, so that a signature for one task cannot be lent to a body about another.
- Without a key nothing is signed, and the callback URL, which carries a token of ours, is the proof.
- Cloudflare, which stands before Kie, answers a bare 403 to clients whose User-Agent does not look like a browser's; hence
  the `Mozilla/5.0 (compatible; …)`, which still says who we are.
"""

import base64
import functools
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from relay.errors import Fate, ProviderError
from relay.model import ErrorCode, Task, Update
from relay.ports import CallbackTarget, InputImage, Message, ProviderConfig, ProviderInfo, TaskRequest
from relay.providers import parameters
from relay.providers.http import Endpoint, Http, limits_for
from relay.providers.kie import reading, rendering, wire
from relay.providers.parameters import Problem


class Kie:
    """Kie.ai, Flux Kontext. The contract of every method is that of ports.Provider."""

    name: str = wire.TABLE.provider
    image_as: Literal["data", "url"] | None = "url"
    echoes_secret: bool = False

    def __init__(self, config: ProviderConfig, *, user_agent: str, clock: Callable[[], datetime]) -> None:
        self.limits = limits_for(config, wire.LIMITS)
        self.confirm = config.confirm
        self.deadline = config.deadline
        self._hmac_key = config.webhook_hmac_key
        self._clock = clock
        self._http = Http(Endpoint(
            name=self.name, base_url=config.base_url or wire.BASE_URL, key=config.api_key,
            auth={"authorization": f"Bearer {config.api_key}"}, user_agent=f"Mozilla/5.0 (compatible; {user_agent})",
            timeout=wire.TIMEOUT if config.timeout is None else config.timeout,
        ), clock=clock)

    def describe(self) -> ProviderInfo:
        return parameters.describe(wire.TABLE, is_configured=self._http.is_configured, result="callback")

    def check(self, request: TaskRequest) -> None:
        parameters.check(request, wire.TABLE, is_configured=self._http.is_configured, rule=_editing_rule)

    def model_for(self, request: TaskRequest) -> str:
        return wire.TABLE.model(request)

    async def submit(self, task: Task, *, image: InputImage | None, callback: CallbackTarget | None) -> Update:
        body = {"prompt": task.prompt, "model": task.model or wire.TABLE.default, **parameters.native(task, wire.TABLE)}
        if image is not None:
            body["inputImage"] = image.url
        if callback is not None:
            body["callBackUrl"] = callback.url
        return await self._http.ask(reading.read_submission, "POST", wire.SUBMIT_PATH, json=body, fresh=True)

    async def fetch(self, task: Task) -> Update:
        if task.provider_task_id is None:
            raise ProviderError(ErrorCode.PROVIDER_ERROR, "the task's id at Kie is not known", fate=Fate.UNKNOWN)
        read = functools.partial(reading.read_record, asked=task.provider_task_id, now=self._clock())
        return await self._http.ask(read, "GET", wire.RECORD_PATH, params={"taskId": task.provider_task_id})

    def is_authentic(self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], task: Task | None) -> bool:  # noqa: ARG002
        """`secrets` are not asked: Kie echoes none."""
        if not self._hmac_key:
            return True
        timestamp, signature = headers.get(wire.TIMESTAMP_HEADER), headers.get(wire.SIGNATURE_HEADER)
        task_id = reading.named_task(body) or (task and task.provider_task_id)
        if not (timestamp and signature and task_id):
            return False
        expected = base64.b64encode(hmac.digest(self._hmac_key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256))
        return hmac.compare_digest(expected, signature.encode())

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Update:  # noqa: ARG002 -- all of it is in the body
        return reading.read_callback(body, now=self._clock())

    def callback_for(self, task: Task, urls: Sequence[str]) -> Message:
        """Kie's callback. It has none for a task that is still open; such an event has the shape of the submit answer."""
        return Message(body=msgspec.json.encode(rendering.callback_of(task, urls, task_id=task.provider_task_id or task.id)))

    async def aclose(self) -> None:
        await self._http.aclose()


def _editing_rule(request: TaskRequest, model: str) -> Iterator[Problem]:  # noqa: ARG001 -- both models alike
    options = request.options or {}
    if request.image is None and options.get("inputImage") is None:
        return
    for field, value in (("safety_tolerance", request.safety_tolerance), ("options.safetyTolerance", options.get("safetyTolerance"))):
        if isinstance(value, int) and wire.MAX_SAFETY_TOLERANCE_EDITING < value <= wire.MAX_SAFETY_TOLERANCE:
            yield Problem(field, f"must be an integer from 0 to {wire.MAX_SAFETY_TOLERANCE_EDITING} with an input image, not {value}")
