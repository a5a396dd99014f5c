"""What Relay asks of a provider, and what it hands over."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from relay.model import Task, Update


class Rate(Struct, frozen=True):
    """At most `count` in any `seconds`."""

    count: int
    seconds: float


class Limits(Struct, frozen=True, kw_only=True):
    """What a provider allows. None: no limit is known. `queries` is about asking for results; `rate` about new tasks."""

    max_concurrent: int | None = None
    rate: Rate | None = None
    queries: Rate | None = None


class ProviderConfig(Struct, frozen=True, kw_only=True):
    """What the operator set for one provider; None is the provider's own default. `timeout` and `deadline` in seconds."""

    api_key: str | None = None
    base_url: str | None = None
    timeout: float | None = None
    deadline: float = 1800.0
    max_concurrent: int | None = None
    rate: Rate | None = None
    webhook_hmac_key: str | None = None
    confirm: bool = False


class Parameter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field that a model takes, with its limits. `advisory`: no seed or official document states them, so they are shown and
    not enforced. `max_length` in characters."""

    type: Literal["integer", "number", "string", "boolean"]
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    max_length: int | None = None
    enum: tuple[Any, ...] | None = None
    pattern: str | None = None
    default: Any = None
    advisory: bool = False
    description: str | None = None


class ModelInfo(Struct, frozen=True, kw_only=True):
    """A model and the normalized fields it takes."""

    name: str
    default: bool
    parameters: dict[str, Parameter]


class ProviderInfo(Struct, frozen=True, kw_only=True):
    """A provider as `GET /api/v1/providers` shows it. `result`: how its result comes."""

    name: str
    configured: bool
    result: Literal["callback", "poll", "response"]
    models: list[ModelInfo]


class TaskRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/v1/tasks. None is absent: an absent field is not sent, so the provider's own default rules."""

    provider: str
    prompt: str
    model: str | None = None
    width: int | None = None
    height: int | None = None
    aspect_ratio: str | None = None
    seed: int | None = None
    n: int | None = None
    output_format: str | None = None
    image: str | None = None
    image_strength: float | None = None
    prompt_upsampling: bool | None = None
    safety_tolerance: int | None = None
    steps: int | None = None
    guidance: float | None = None
    interval: float | None = None
    raw: bool | None = None
    watermark: str | None = None
    translate: bool | None = None
    options: dict[str, Any] | None = None
    callback_url: str | None = None
    callback_secret: str | None = None
    metadata: dict[str, Any] | None = None


class WatchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/v1/tasks/watch: a task that the caller's own app submits."""

    provider: str
    provider_task_id: str | None = None
    metadata: dict[str, Any] | None = None
    callback_url: str | None = None
    callback_secret: str | None = None


class InputImage(Struct, frozen=True, kw_only=True):
    """The input picture in the form that the provider takes: bytes, or a URL it can reach."""

    data: bytes | None = None
    url: str | None = None


class CallbackTarget(Struct, frozen=True, kw_only=True):
    """Where a provider is to call back, and the secret that it is to echo."""

    url: str
    secret: str


class Message(Struct, frozen=True, kw_only=True):
    """A callback in the provider's own shape, for subscribers of format `provider`."""

    body: bytes
    content_type: str = "application/json"


class Provider(Protocol):
    """All that Relay knows of one image API. Every method is safe to call from many tasks at once.

    Whatever the provider sends (garbage, nothing, the wrong types), a method gives an Update or raises ProviderError (a
    callback: Unreadable), and nothing else. No error holds a key.
    """

    name: str
    limits: Limits
    image_as: Literal["data", "url"] | None
    """The form in which it takes an input picture; None: not at all."""
    echoes_secret: bool
    """Its callbacks bring back the secret that we gave it."""
    confirm: bool
    """A callback is only a hint: the result is fetched before it is believed."""
    deadline: float
    """Seconds from submission until we stop waiting."""

    def describe(self) -> ProviderInfo: ...

    def check(self, request: TaskRequest) -> None:
        """Raises Invalid or Unsupported, naming every field that the model cannot take, its value's problem and the allowed
        range; ProviderNotConfigured without a key. Nothing is sent."""
        ...

    def model_for(self, request: TaskRequest) -> str:
        """The model asked for, or the default one."""
        ...

    async def submit(self, task: Task, *, image: InputImage | None, callback: CallbackTarget | None) -> Update:
        """Start the task, once. An answer of status submitted means accepted; a provider that holds the connection answers
        with the end. `task.input` has passed `check`. Raises ProviderError, whose `fate` says whether it may run."""
        ...

    async def fetch(self, task: Task) -> Update:
        """Ask how the task stands (`task.provider_task_id` is known). A failed task is an Update of status failed; ProviderError
        means that asking failed, and that asking again may work. A provider without a query raises it always."""
        ...

    def is_authentic(self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], task: Task | None) -> bool:
        """Whether a callback proves to be the provider's: in constant time, and a missing header is a failure. `secrets`: what we
        gave it for this task, one for each signing key in force. Header names are lower case. `task`: None where it was not looked up
        yet; a callback that proves itself only with what is known of its task is then no proof."""
        ...

    def read_callback(self, headers: Mapping[str, str], body: bytes) -> Update:
        """Raises Unreadable. `provider_task_id` is whatever id the body names."""
        ...

    def callback_for(self, task: Task, urls: Sequence[str]) -> Message:
        """The task as this provider would have told it: its callback body, else its result body. `urls`: where its pictures
        open, in order."""
        ...

    async def aclose(self) -> None: ...
