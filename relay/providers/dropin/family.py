"""Requests in the words of Black Forest Labs' own API, which several gateways have taken over: `image_prompt` in base64, `webhook_url`,
`webhook_secret`."""

from collections.abc import Mapping
from typing import Any, Final

from relay.ports import TaskRequest
from relay.providers.dropin.fields import read_texts
from relay.providers.dropin.picture import as_data_uri
from relay.providers.parameters import Table, read_native

NAMES: Final[Mapping[str, str]] = {
    "image": "image_prompt", "image_strength": "image_prompt_strength", "callback_url": "webhook_url", "callback_secret": "webhook_secret",
}
"""Normalized field -> what apps call it."""
_SHAPE: Final = ("width", "height", "aspect_ratio")


def read_request(body: Mapping[str, Any], table: Table, *, model: str | None = None) -> TaskRequest:
    """A submission. `model`: where the body does not name it. Raises Invalid for what must be text and is none; everything else is
    left to the provider's own checks."""
    names = ("prompt", "webhook_url", "webhook_secret") if model else ("model", "prompt", "webhook_url", "webhook_secret")
    texts = read_texts(body, names, required=[name for name in names if name in ("model", "prompt")])
    fields, options = read_native(body, table)
    if "image" in fields:
        fields["image"] = as_data_uri(fields["image"])
    return TaskRequest(
        provider=table.provider, model=model or texts["model"], prompt=texts["prompt"] or "", **fields, options=options or None,
        callback_url=texts["webhook_url"], callback_secret=texts["webhook_secret"],
    )


def has_shape(request: TaskRequest) -> bool:
    """Whether it says which shape the picture is to have; then no default says it again."""
    return any(getattr(request, field) is not None for field in _SHAPE)
