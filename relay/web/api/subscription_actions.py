"""What is done with a subscription that exists: trying it, pausing it, and everything about its secret."""

import logging
from datetime import timedelta
from typing import Final, Literal

import msgspec
from msgspec import Struct
from starlette.responses import Response

from relay import model
from relay.errors import NotFound
from relay.model import Event, EventType, Scope, SubscriptionStatus
from relay.view import ping_event
from relay.web.api.subscriptions import change_subscription, find_subscription, subscription_view
from relay.web.intake import checked_secret
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.parts import Web
from relay.web.samples import sample_event
from relay.web.shapes import Delivery, Secret, Subscription, delivery_view
from relay.web.signature import rotated_key_pair

_log = logging.getLogger(__name__)

_ONE: Final = "/api/v1/subscriptions/{subscription_id}"
_TAG: Final = "Subscriptions"
_OVERLAP: Final = timedelta(hours=24)
"""How long the old secret, and the old key pair, sign beside the new ones."""


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`secret`: the new one; without it one is made."""

    secret: str | None = None


class Resumption(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of the deliveries that were held: they are sent, oldest first, or kept."""

    held: Literal["keep", "send"] = "send"


class Trial(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`type`: of which a sample is to be sent."""

    type: EventType = EventType.PING


async def show_secret(call: Call[NoQuery, NoBody]) -> Response:
    subscription = await find_subscription(call)
    _log.info("the secret of %s was shown to %s", subscription.id, call.caller.key_id)
    secret = call.web.vault.open(subscription.sealed_secret)
    return answer_json(Secret(id=subscription.id, secret=secret, public_key=subscription.public_key))


async def rotate_secret(call: Call[NoQuery, Rotation]) -> Response:
    """A secret that is in force already stays as it is, so that asking twice does not end the overlap."""
    before = await find_subscription(call)
    secret = checked_secret(call.body.secret)
    changed = await change_subscription(call, lambda latest: _rotated(latest, secret, call.web))
    if changed.sealed_secret != before.sealed_secret:
        _log.info("the secret of %s was rotated by %s", changed.id, call.caller.key_id)
    return answer_json(subscription_view(changed, call.web, secret=secret))


def _rotated(subscription: model.Subscription, secret: str, web: Web) -> model.Subscription:
    if secret == web.vault.open(subscription.sealed_secret):
        return subscription
    return msgspec.structs.replace(
        subscription, sealed_secret=web.vault.seal(secret), previous_sealed_secret=subscription.sealed_secret,
        previous_secret_until=web.clock() + _OVERLAP, **rotated_key_pair(subscription, web))


async def pause_subscription(call: Call[NoQuery, NoBody]) -> Response:
    return await _set_status(call, SubscriptionStatus.PAUSED)


async def resume_subscription(call: Call[NoQuery, Resumption]) -> Response:
    return await _set_status(call, SubscriptionStatus.ACTIVE, keep_held=call.body.held == "keep")


async def _set_status(call: Call[NoQuery, NoBody] | Call[NoQuery, Resumption], status: SubscriptionStatus, *,
                      keep_held: bool = False) -> Response:
    changed = await call.web.store.set_subscription_status(
        call.account_id, call.id_of("subscription_id"), status, now=call.web.clock(), keep_held=keep_held)
    if changed is None:
        raise NotFound("There is no such subscription.")
    return answer_json(subscription_view(changed, call.web))


async def try_subscription(call: Call[NoQuery, Trial]) -> Response:
    await find_subscription(call)  # else an event to nobody would be recorded
    deliveries = await call.web.store.add_event(_trial_event(call))
    if not deliveries:  # deleted in between
        raise NotFound("There is no such subscription.")
    return answer_json(delivery_view(deliveries[0]), 202)


def _trial_event(call: Call[NoQuery, Trial]) -> Event:
    web, subscription_id = call.web, call.id_of("subscription_id")
    event_id, now = web.new_id("evt"), web.clock()
    if call.body.type is EventType.PING:
        return ping_event(event_id, call.account_id, subscription_id, now)
    sample = sample_event(call.body.type, event_id, call.account_id, web.link, now)
    return msgspec.structs.replace(sample, subscription_id=subscription_id)


OPERATIONS = (
    Operation(
        method="GET", path=f"{_ONE}/secret", id="getSubscriptionSecret", tag=_TAG, summary="Its signing secret", handle=show_secret,
        needs=Scope.SUBSCRIBE, answers={200: Answer(means="The secret in force.", shape=Secret)},
    ),
    Operation(
        method="POST", path=f"{_ONE}/rotate-secret", id="rotateSubscriptionSecret", tag=_TAG, summary="Change its signing secret",
        handle=rotate_secret,
        description="The old secret signs beside the new one for 24 hours more. A key pair for v1a changes with it, in the same way.",
        needs=Scope.SUBSCRIBE, body=Rotation, is_body_optional=True,
        answers={200: Answer(means="The subscription, with its new secret.", shape=Subscription)},
    ),
    Operation(
        method="POST", path=f"{_ONE}/pause", id="pauseSubscription", tag=_TAG, summary="Send nothing for now", handle=pause_subscription,
        description="What happens meanwhile is kept as held deliveries.",
        needs=Scope.SUBSCRIBE, answers={200: Answer(means="The paused subscription.", shape=Subscription)},
    ),
    Operation(
        method="POST", path=f"{_ONE}/resume", id="resumeSubscription", tag=_TAG, summary="Send again", handle=resume_subscription,
        description="Held deliveries are sent, oldest first, unless they are to be kept. A disabled subscription is active again.",
        needs=Scope.SUBSCRIBE, body=Resumption, is_body_optional=True, example={"held": "keep"},
        answers={200: Answer(means="The active subscription.", shape=Subscription)},
    ),
    Operation(
        method="POST", path=f"{_ONE}/test", id="testSubscription", tag=_TAG, summary="Send it a ping or a sample", handle=try_subscription,
        description="Whatever its filters say. While the subscription is not active the delivery is held.",
        needs=Scope.SUBSCRIBE, body=Trial, is_body_optional=True, example={"type": "task.succeeded"},
        answers={202: Answer(means="The delivery.", shape=Delivery)},
    ),
)
