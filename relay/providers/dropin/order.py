"""An app's request, read."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.ports import TaskRequest


class Order(Struct, frozen=True, kw_only=True):
    """What an app asked for.

    `request`: the normalized fields, those of its own provider, with `options` for what the provider's API has beyond them
    (unknown fields too, untouched); `callback_url` and `callback_secret` are the app's own. `native`: what of the request has to be
    remembered for faithful answers; nothing large.
    For a task that another provider makes: `defaults` are the normalized fields that the app's provider documents a value for, taken
    where that other one can express them; `idle` names options that say nothing about the picture, or nothing new, and can be left away.
    """

    request: TaskRequest
    native: dict[str, Any] = {}
    defaults: Mapping[str, Any] = {}
    idle: frozenset[str] = frozenset()
