"""Subscriptions: made, listed, altered and removed. What is done with one that exists is in subscription_actions.

Creating is idempotent, since platforms ask for the same hook again whenever a workflow is switched on: the same wish gives the
subscription that there is, awake again, and its secret.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from msgspec import Meta
from starlette.responses import Response

from relay import model
from relay.errors import Conflict, NotFound
from relay.model import Scope
from relay.ports import Page, SubscriptionFilter
from relay.web.header import headers_of
from relay.web.intake import Alteration, Wish, altered, identity_of, new_subscription
from relay.web.listing import ListQuery, Text
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.parts import Web
from relay.web.reach import check_may_reach, greet
from relay.web.shapes import Empty, Subscription, page_of

_Item = TypeVar("_Item")

_PATH = "/api/v1/subscriptions"
_ONE = f"{_PATH}/{{subscription_id}}"
_TAG = "Subscriptions"
_MASK = "***"

Url = Annotated[str, Meta(min_length=1, max_length=2048)]


class SubscriptionsQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` and `target_url` filter alike. `task_id`: those of that task's callback_url."""

    url: Url | None = None
    target_url: Url | None = None
    task_id: Text | None = None


def subscription_view(subscription: model.Subscription, web: Web, *, secret: str | None = None) -> Subscription:
    """A subscription as it is answered; `secret` where it is to be shown."""
    return Subscription(
        id=subscription.id, url=subscription.url, target_url=subscription.url, status=subscription.status,
        disabled_reason=subscription.disabled_reason.value if subscription.disabled_reason else None,
        events=list(subscription.events), providers=_list(subscription.providers), metadata=subscription.metadata,
        format=subscription.format, description=subscription.description, headers=headers_of(subscription, web),
        rate_per_second=subscription.rate_per_second, max_concurrent=subscription.max_concurrent, ordered=subscription.ordered,
        retry_schedule=_list(subscription.retry_schedule), signatures=list(subscription.signatures), template=subscription.template,
        verify=subscription.verify, allow_cidrs=_list(subscription.allow_cidrs),
        callback_secret=_MASK if subscription.sealed_callback_secret else None, task_id=subscription.task_id,
        public_key=subscription.public_key, failing_since=subscription.failing_since, created_at=subscription.created_at, secret=secret,
    )


async def find_subscription(call: Call[NoQuery, Any]) -> model.Subscription:
    """The one that the path names. Raises NotFound."""
    found = await call.web.store.subscription(call.account_id, call.id_of("subscription_id"))
    if found is None:
        raise NotFound("There is no such subscription.")
    return found


async def change_subscription(call: Call[NoQuery, Any], change: Callable[[model.Subscription], model.Subscription]) -> model.Subscription:
    """Change the one that the path names, as it stands at that moment. Raises NotFound, Conflict, and what `change` raises."""
    changed = await call.web.store.change_subscription(call.account_id, call.id_of("subscription_id"), change, identity=identity_of)
    if changed is None:
        raise NotFound("There is no such subscription.")
    return changed


async def create_subscription(call: Call[NoQuery, Wish]) -> Response:
    web = call.web
    wished = new_subscription(call.body, web, call.account_id)
    check_may_reach(call.caller, wished)
    await greet(web, wished)
    kept, is_new = await web.store.add_subscription(wished, identity=identity_of(wished), now=web.clock())
    view = subscription_view(kept, web, secret=web.vault.open(kept.sealed_secret))
    return answer_json(view, 201 if is_new else 200, {"location": web.seen_from_outside(f"{_PATH}/{kept.id}")})


async def list_subscriptions(call: Call[SubscriptionsQuery, NoBody]) -> Response:
    asked = call.query
    if asked.url and asked.target_url and asked.url != asked.target_url:
        return answer_json(page_of(Page([]), None))  # nothing is at two addresses
    which = SubscriptionFilter(url=asked.url or asked.target_url, task_id=asked.task_id)
    page = await call.web.store.subscriptions(call.account_id, which, limit=asked.limit, cursor=asked.cursor)
    return answer_json(page_of(page, lambda subscription: subscription_view(subscription, call.web)))


async def show_subscription(call: Call[NoQuery, NoBody]) -> Response:
    return answer_json(subscription_view(await find_subscription(call), call.web))


async def alter_subscription(call: Call[NoQuery, Alteration]) -> Response:
    """The handshake may take a while: what was altered meanwhile is not to be undone."""
    before = await find_subscription(call)
    await greet(call.web, _altered(call, before), before)
    changed = await change_subscription(call, lambda latest: _altered(call, latest))
    return answer_json(subscription_view(changed, call.web))


def _altered(call: Call[NoQuery, Alteration], subscription: model.Subscription) -> model.Subscription:
    wanted = altered(subscription, call.body, call.web)
    check_may_reach(call.caller, wanted, subscription)
    return wanted


async def remove_subscription(call: Call[NoQuery, NoBody]) -> Response:
    web = call.web
    if not await web.store.remove_subscription(call.account_id, call.id_of("subscription_id"), now=web.clock()):
        raise NotFound("There is no such subscription.")
    return answer_json(Empty())


def _list(values: tuple[_Item, ...] | None) -> list[_Item] | None:
    return None if values is None else list(values)


OPERATIONS = (
    Operation(
        method="POST", path=_PATH, id="createSubscription", tag=_TAG, summary="Ask to be told", handle=create_subscription,
        description="Nothing is sent by this, unless `verify` is `x-hook-secret`: then one POST with the header X-Hook-Secret must be "
                    "answered 2xx with the same header within 10 seconds, else 422. The same url, events, format, "
                    "providers and metadata are the same subscription: it is answered with 200, active again if it was not. "
                    "The address may also be named target_url, targetUrl, hookUrl, hook_url "
                    "or callback_url, and a single type may stand in `event`.",
        needs=Scope.SUBSCRIBE, body=Wish, example={"url": "https://example.com/hooks/relay", "events": ["task.succeeded", "task.failed"]},
        answers={201: Answer(means="The new subscription, with its secret.", shape=Subscription, headers=("Location",)),
                 200: Answer(means="The one that was there already, with its secret.", shape=Subscription, headers=("Location",))},
    ),
    Operation(
        method="GET", path=_PATH, id="listSubscriptions", tag=_TAG, summary="Who is told", handle=list_subscriptions,
        needs=Scope.READ, query=SubscriptionsQuery,
        answers={200: Answer(means="Newest first.", shape=Subscription, is_page=True)},
    ),
    Operation(
        method="GET", path=_ONE, id="getSubscription", tag=_TAG, summary="One subscription", handle=show_subscription,
        needs=Scope.READ, answers={200: Answer(means="The subscription, without its secret.", shape=Subscription)},
    ),
    Operation(
        method="PATCH", path=_ONE, id="alterSubscription", tag=_TAG, summary="Alter a subscription", handle=alter_subscription,
        description="What is absent stays. Another url is asked first where `verify` is set. `allow_cidrs`, and the url of a subscription "
                    "that has them, need the scope admin. "
                    "409 if another subscription has the same url, events, format, providers and metadata.",
        needs=Scope.SUBSCRIBE, body=Alteration, problems=(Conflict,), example={"events": ["task.*"]},
        answers={200: Answer(means="The subscription as it is now.", shape=Subscription)},
    ),
    Operation(
        method="DELETE", path=_ONE, id="deleteSubscription", tag=_TAG, summary="Stop telling", handle=remove_subscription,
        description="Deliveries that are not done are cancelled and stay listed. Deleting twice is no error.",
        needs=Scope.SUBSCRIBE, answers={200: Answer(means="It is gone.", shape=Empty)},
    ),
)
