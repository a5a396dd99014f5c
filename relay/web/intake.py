"""What an owner asks for, made into a Subscription: checked field by field, secrets sealed.

A subscription is the same as another if url, events (as a set), format, providers and metadata are the same; `identity_of` puts
that into one string.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from relay import model
from relay.net.guard import widen
from relay.signing import new_webhook_secret, read_webhook_secret
from relay.web.duration import read_duration
from relay.web.fields import check_metadata, check_providers, check_url, check_visible, refuse
from relay.web.header import Headers, sealed_headers
from relay.web.parts import Web
from relay.web.pattern import check_patterns
from relay.web.reach import Networks, Verify, checked_networks
from relay.web.signature import Signatures, checked_signatures, with_key_pair
from relay.web.template import Format, checked_template

_Value = TypeVar("_Value")

_URL_NAMES: Final = {"url": "url", "target_url": "target_url", "target_url_": "targetUrl", "hook_url_": "hookUrl", "hook_url": "hook_url",
                     "callback_url": "callback_url"}
_DEFAULT_EVENTS: Final = ("task.succeeded", "task.failed")
_LONGEST_PAUSE: Final = 7 * 86400.0

Globs = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(min_length=1, max_length=50)]
Names = Annotated[list[str], Meta(min_length=1, max_length=20)]
Pace = Annotated[float, Meta(gt=0, le=1000)]
Count = Annotated[int, Meta(ge=1, le=1000)]
Pauses = Annotated[
    list[str | float], Meta(min_length=1, max_length=20, description='Such as "5s", "5m", "2h", or seconds; at most 7 days each.')]
Words = Annotated[str, Meta(max_length=500)]


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
    signatures: Signatures = msgspec.field(default_factory=lambda: ["v1"])
    template: Any = None
    verify: Verify | None = None
    allow_cidrs: Networks | None = None
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
    signatures: Signatures | UnsetType = UNSET
    template: Any = UNSET
    verify: Verify | UnsetType | None = UNSET
    allow_cidrs: Networks | UnsetType | None = UNSET
    callback_secret: str | UnsetType | None = UNSET


def new_subscription(wish: Wish, web: Web, account_id: str) -> model.Subscription:
    """Raises Invalid."""
    url = _address({name: value for name, label in _URL_NAMES.items() if (value := getattr(wish, name)) is not None and label})
    events = _events(wish)
    networks = checked_networks(wish.allow_cidrs)
    check_url(url, widen(web.policy, networks), "url")
    _check(web, events=events, providers=wish.providers, metadata=wish.metadata, callback_secret=wish.callback_secret)
    subscription = model.Subscription(
        id=web.new_id("sub"), account_id=account_id, url=url, events=events, providers=_tuple(wish.providers), metadata=wish.metadata,
        format=wish.format, template=checked_template(web, wish.format, wish.template), description=wish.description,
        sealed_headers=sealed_headers(web, wish.headers),
        rate_per_second=wish.rate_per_second, max_concurrent=wish.max_concurrent, ordered=wish.ordered,
        retry_schedule=_schedule(wish.retry_schedule),
        sealed_secret=web.vault.seal(checked_secret(wish.secret)), sealed_callback_secret=_sealed(web, wish.callback_secret),
        signatures=checked_signatures(wish.signatures), verify=wish.verify, allow_cidrs=networks, created_at=web.clock(),
    )
    return with_key_pair(subscription, web)


def altered(subscription: model.Subscription, wish: Alteration, web: Web) -> model.Subscription:
    """The subscription as its owner wants it now. Raises Invalid."""
    given = {name: value for name in ("url", "target_url") if (value := getattr(wish, name)) is not UNSET}
    url = _address(given or {"url": subscription.url})
    networks = checked_networks(_or(wish.allow_cidrs, other=_list(subscription.allow_cidrs)))
    check_url(url, widen(web.policy, networks), "url")
    _check(web, events=_or(wish.events, other=()), providers=_or(wish.providers, other=None),
           metadata=_or(wish.metadata, other=None), callback_secret=_or(wish.callback_secret, other=None))
    changed = msgspec.structs.replace(
        subscription, url=url, allow_cidrs=networks, template=_altered_template(subscription, wish, web), **_changes(wish, web))
    return with_key_pair(changed, web)


def _altered_template(subscription: model.Subscription, wish: Alteration, web: Web) -> Any:  # noqa: ANN401 -- JSON can be anything
    """With another format the template that there was goes away."""
    form = _or(wish.format, other=subscription.format)
    return checked_template(web, form, _or(wish.template, other=subscription.template if form == subscription.format else None))


def _changes(wish: Alteration, web: Web) -> dict[str, Any]:
    """The fields of a Subscription that the alteration names, with their new values."""
    made: dict[str, tuple[str, Any]] = {
        "events": ("events", _tuple), "providers": ("providers", _tuple), "metadata": ("metadata", _as_it_is),
        "format": ("format", _as_it_is),
        "description": ("description", _as_it_is),
        "headers": ("sealed_headers", lambda headers: sealed_headers(web, headers)),
        "rate_per_second": ("rate_per_second", _as_it_is), "max_concurrent": ("max_concurrent", _as_it_is),
        "ordered": ("ordered", _as_it_is),
        "retry_schedule": ("retry_schedule", _schedule),
        "signatures": ("signatures", checked_signatures), "verify": ("verify", _as_it_is),
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


def _check(web: Web, *, events: Sequence[str], providers: Sequence[str] | None, metadata: Mapping[str, Any] | None,
           callback_secret: str | None) -> None:
    check_patterns(events, "events")
    check_providers(providers, web.providers)
    check_metadata(metadata)
    check_visible(callback_secret, "callback_secret", 256)


def _schedule(pauses: Sequence[str | float] | None) -> tuple[float, ...] | None:
    if pauses is None:
        return None
    return tuple(_seconds(pause, f"retry_schedule.{index}") for index, pause in enumerate(pauses))


def _seconds(pause: str | float, field: str) -> float:
    seconds = float(pause) if not isinstance(pause, str) else read_duration(pause, field)
    if not 0 <= seconds <= _LONGEST_PAUSE:
        raise refuse(field, "must be 0 to 7 days")
    return seconds


def _sealed(web: Web, secret: str | None) -> str | None:
    return None if secret is None else web.vault.seal(secret)


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(dict.fromkeys(names))


def _list(values: tuple[_Value, ...] | None) -> list[_Value] | None:
    return None if values is None else list(values)


def _as_it_is(value: _Value) -> _Value:
    return value


def _or(value: _Value | UnsetType, *, other: _Value) -> _Value:
    return other if isinstance(value, UnsetType) else value
