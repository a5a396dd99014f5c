"""What an owner asks for, made into a Subscription: checked field by field, secrets sealed.

A subscription is the same as another if url, events (as a set), format, providers and metadata are the same; `identity_of` puts
that into one string. Formats, options and signatures that do not exist yet are refused in clear words, never overlooked.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from relay import model
from relay.signing import new_webhook_secret, read_webhook_secret
from relay.view import to_json
from relay.web.fields import check_metadata, check_providers, check_url, check_visible, refuse
from relay.web.parts import Web
from relay.web.pattern import check_patterns

_Value = TypeVar("_Value")

_URL_NAMES: Final = {"url": "url", "target_url": "target_url", "target_url_": "targetUrl", "hook_url_": "hookUrl", "hook_url": "hook_url",
                     "callback_url": "callback_url"}
_DEFAULT_EVENTS: Final = ("task.succeeded", "task.failed")
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_PAUSE: Final = 7 * 86400.0
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]{0,2000}")
_RESERVED: Final = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "date", "expect", "host", "keep-alive", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-webhook-secret",
})
_NOT_YET: Final = "is not available yet"

Globs = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(min_length=1, max_length=50)]
Names = Annotated[list[str], Meta(min_length=1, max_length=20)]
Headers = Annotated[dict[str, str], Meta(max_length=20)]
Pace = Annotated[float, Meta(gt=0, le=1000)]
Count = Annotated[int, Meta(ge=1, le=1000)]
Pauses = Annotated[
    list[str | float], Meta(min_length=1, max_length=20, description='Such as "5s", "5m", "2h", or seconds; at most 7 days each.')]
Words = Annotated[str, Meta(max_length=500)]
Format = Literal["standard", "provider"]


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new subscription. The address may stand under any of its names, and `event` is a single one of `events`."""

    url: str | None = None
    target_url: str | None = None
    target_url_: str | None = msgspec.field(default=None, name="targetUrl")
    hook_url_: str | None = msgspec.field(default=None, name="hookUrl")
    hook_url: str | None = None
    callback_url: str | None = None
    event: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    events: Globs | None = None
    providers: Names | None = None
    metadata: dict[str, Any] | None = None
    format: Format = "standard"
    description: Words | None = None
    headers: Headers | None = None
    rate_per_second: Pace | None = None
    max_concurrent: Count | None = None
    ordered: bool = False
    retry_schedule: Pauses | None = None
    signatures: list[str] = msgspec.field(default_factory=lambda: ["v1"])
    template: Any = None
    verify: str | None = None
    allow_cidrs: list[str] | None = None
    secret: str | None = None
    callback_secret: str | None = None


class Alteration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is absent stays. `null` takes a setting back."""

    url: str | UnsetType = UNSET
    target_url: str | UnsetType = UNSET
    events: Globs | UnsetType = UNSET
    providers: Names | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    format: Format | UnsetType = UNSET
    description: Words | UnsetType | None = UNSET
    headers: Headers | UnsetType | None = UNSET
    rate_per_second: Pace | UnsetType | None = UNSET
    max_concurrent: Count | UnsetType | None = UNSET
    ordered: bool | UnsetType = UNSET
    retry_schedule: Pauses | UnsetType | None = UNSET
    signatures: list[str] | UnsetType = UNSET
    template: Any = UNSET
    verify: str | UnsetType | None = UNSET
    allow_cidrs: list[str] | UnsetType | None = UNSET
    callback_secret: str | UnsetType | None = UNSET


def new_subscription(wish: Wish, web: Web, account_id: str) -> model.Subscription:
    """Raises Invalid."""
    url = _address({name: value for name, label in _URL_NAMES.items() if (value := getattr(wish, name)) is not None and label})
    events = _events(wish)
    _refuse_what_is_to_come(wish.ordered, wish.signatures, wish.template, wish.verify, wish.allow_cidrs)
    _check(web, url=url, events=events, providers=wish.providers, metadata=wish.metadata, callback_secret=wish.callback_secret)
    return model.Subscription(
        id=web.new_id("sub"), account_id=account_id, url=url, events=events, providers=_tuple(wish.providers), metadata=wish.metadata,
        format=wish.format, description=wish.description, sealed_headers=_sealed_headers(web, wish.headers),
        rate_per_second=wish.rate_per_second, max_concurrent=wish.max_concurrent, retry_schedule=_schedule(wish.retry_schedule),
        sealed_secret=web.vault.seal(checked_secret(wish.secret)), sealed_callback_secret=_sealed(web, wish.callback_secret),
        created_at=web.clock(),
    )


def altered(subscription: model.Subscription, wish: Alteration, web: Web) -> model.Subscription:
    """The subscription as its owner wants it now. Raises Invalid."""
    given = {name: value for name in ("url", "target_url") if (value := getattr(wish, name)) is not UNSET}
    url = _address(given or {"url": subscription.url})
    _refuse_what_is_to_come(
        _or(wish.ordered, other=False), _or(wish.signatures, other=["v1"]), _or(wish.template, other=None), _or(wish.verify, other=None),
        _or(wish.allow_cidrs, other=None))
    _check(web, url=url, events=_or(wish.events, other=()), providers=_or(wish.providers, other=None),
           metadata=_or(wish.metadata, other=None), callback_secret=_or(wish.callback_secret, other=None))
    return msgspec.structs.replace(subscription, url=url, **_changes(wish, web))


def _changes(wish: Alteration, web: Web) -> dict[str, Any]:
    """The fields of a Subscription that the alteration names, with their new values."""
    made: dict[str, tuple[str, Any]] = {
        "events": ("events", _tuple), "providers": ("providers", _tuple), "metadata": ("metadata", _as_it_is),
        "format": ("format", _as_it_is),
        "description": ("description", _as_it_is),
        "headers": ("sealed_headers", lambda headers: _sealed_headers(web, headers)),
        "rate_per_second": ("rate_per_second", _as_it_is), "max_concurrent": ("max_concurrent", _as_it_is),
        "retry_schedule": ("retry_schedule", _schedule),
        "callback_secret": ("sealed_callback_secret", lambda secret: _sealed(web, secret)),
    }
    return {field: make(value) for name, (field, make) in made.items() if (value := getattr(wish, name)) is not UNSET}


def identity_of(subscription: model.Subscription) -> str:
    """What makes it the same subscription, as a short string. A task's own callback_url is never the same as another."""
    parts = [subscription.account_id, subscription.task_id, subscription.url, sorted(set(subscription.events)), subscription.format,
             None if subscription.providers is None else sorted(set(subscription.providers)), subscription.metadata or None]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def checked_secret(secret: str | None) -> str:
    """The secret that was given, or a new one. Raises Invalid."""
    if secret is None:
        return new_webhook_secret()
    try:
        read_webhook_secret(secret)
    except ValueError as exc:
        raise refuse("secret", str(exc)) from exc
    return secret


def _address(given: Mapping[str, str]) -> str:
    if len(set(given.values())) > 1:
        raise refuse("url", f"is given under several names with different values: {', '.join(_URL_NAMES[name] for name in given)}")
    if not given:
        raise refuse("url", "is required")
    return next(iter(given.values()))


def _events(wish: Wish) -> tuple[str, ...]:
    if wish.event is not None and wish.events is not None:
        raise refuse("event", "and events are two names of one thing; give one of them")
    if wish.event is not None:
        return (wish.event,)
    return tuple(dict.fromkeys(wish.events)) if wish.events is not None else _DEFAULT_EVENTS


def _refuse_what_is_to_come(ordered: bool, signatures: Sequence[str], template: object, verify: str | None,  # noqa: FBT001 -- a field
                            allow_cidrs: Sequence[str] | None) -> None:
    if list(signatures) != ["v1"]:
        raise refuse("signatures", f'anything but ["v1"] {_NOT_YET}')
    for field, value in (("ordered", ordered or None), ("template", template), ("verify", verify), ("allow_cidrs", allow_cidrs)):
        if value is not None:
            raise refuse(field, _NOT_YET)


def _check(web: Web, *, url: str, events: Sequence[str], providers: Sequence[str] | None, metadata: Mapping[str, Any] | None,
           callback_secret: str | None) -> None:
    check_url(url, web.policy, "url")
    check_patterns(events, "events")
    check_providers(providers, web.providers)
    check_metadata(metadata)
    check_visible(callback_secret, "callback_secret", 256)


def _schedule(pauses: Sequence[str | float] | None) -> tuple[float, ...] | None:
    if pauses is None:
        return None
    return tuple(_seconds(pause, f"retry_schedule.{index}") for index, pause in enumerate(pauses))


def _seconds(pause: str | float, field: str) -> float:
    seconds = float(pause) if not isinstance(pause, str) else _parse_duration(pause, field)
    if not 0 <= seconds <= _LONGEST_PAUSE:
        raise refuse(field, "must be 0 to 7 days")
    return seconds


def _parse_duration(text: str, field: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise refuse(field, 'must be a span such as "5s", "5m", "2h", or a number of seconds')
    return float(match[1]) * _UNITS[match[2]]


def _sealed_headers(web: Web, headers: Mapping[str, str] | None) -> str | None:
    for name, value in (headers or {}).items():
        _check_header(name, value)
    if len({name.lower() for name in headers or ()}) != len(headers or ()):
        raise refuse("headers", "has a name twice; upper and lower case are the same")
    return web.vault.seal(to_json(headers).decode()) if headers else None


def _check_header(name: str, value: str) -> None:
    field = f"headers.{name[:100]}"
    if not _HEADER_NAME.fullmatch(name):
        raise refuse(field, "is no name of a header")
    if name.lower() in _RESERVED or name.lower().startswith("webhook-"):
        raise refuse(field, "is set by Relay itself")
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        raise refuse(field, "must be at most 2000 visible ASCII characters, spaces only inside")


def _sealed(web: Web, secret: str | None) -> str | None:
    return None if secret is None else web.vault.seal(secret)


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(dict.fromkeys(names))


def _as_it_is(value: _Value) -> _Value:
    return value


def _or(value: _Value | UnsetType, *, other: _Value) -> _Value:
    return other if isinstance(value, UnsetType) else value


def headers_of(subscription: model.Subscription, web: Web) -> dict[str, str]:
    """Its custom headers, values masked."""
    if subscription.sealed_headers is None:
        return {}
    return dict.fromkeys(msgspec.json.decode(web.vault.open(subscription.sealed_headers), type=dict[str, str]), "***")
