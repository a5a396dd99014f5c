"""What owners are told of: failing deliveries, disabled and recovered subscriptions, credits that run low."""

from datetime import datetime
from typing import Any

import msgspec
import pytest

from relay.model import (
    Attempt,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Event,
    EventType,
    Subscription,
    SubscriptionStatus,
    TaskStatus,
    Update,
)
from relay.ports.store import EventFilter, Settlement
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio

TROUBLES = (EventType.SUBSCRIPTION_DISABLED, EventType.SUBSCRIPTION_RECOVERED, EventType.DELIVERY_FAILING, EventType.CREDITS_LOW)


async def told(shelf: Shelf, kind: EventType | None = None, account_id: str | None = None) -> list[Event]:
    """Oldest first."""
    page = await shelf.store.events(account_id or shelf.account_id, EventFilter(type=kind), limit=200)
    return [event for event in reversed(page.data) if event.type in TROUBLES]


def data_of(event: Event) -> Any:
    return msgspec.json.decode(event.body)["data"]


async def attempted(shelf: Shelf, delivery: Delivery, *, at: datetime = NOW, status_code: int = 500, **given: Any) -> None:
    """One attempt, failed unless told otherwise; the delivery stays pending."""
    number = (await shelf.delivery(delivery)).attempts + 1
    attempt = Attempt(id=shelf.id("att"), delivery_id=delivery.id, number=number, started_at=at, duration_ms=1.0, status_code=status_code)
    is_success = status_code == 200
    wanted: dict[str, Any] = {"attempt": attempt, "status": DeliveryStatus.DELIVERED if is_success else DeliveryStatus.PENDING,
                              "next_at": None if is_success else after(days=9)}
    await shelf.store.settle([Settlement(**{**wanted, **given})], now=at)


async def failed(shelf: Shelf, delivery: Delivery, times: int = 4, **given: Any) -> None:
    for _ in range(times):
        await attempted(shelf, delivery, **given)


async def failing(shelf: Shelf, **given: Any) -> tuple[Subscription, Delivery]:
    """A subscription and a delivery to it that failed four times."""
    subscription = await shelf.subscribe(url="https://a.example/hook?token=secret", **given)
    delivery = await shelf.deliver()
    await failed(shelf, delivery)
    return subscription, delivery


async def test_the_fourth_failure_in_a_row_of_a_delivery_is_told(shelf: Shelf) -> None:
    subscription = await shelf.subscribe(url="https://a.example/hook?token=secret")
    delivery = await shelf.deliver()
    await failed(shelf, delivery, 3)
    assert await told(shelf) == []
    await failed(shelf, delivery, 3, at=after(seconds=1))
    [event] = await told(shelf)
    assert (event.type, event.created_at, event.task_id, event.about_id) == (
        EventType.DELIVERY_FAILING, after(seconds=1), None, subscription.id)
    assert data_of(event) == {
        "subscription": {"id": subscription.id, "url": "https://a.example/hook?***", "status": "active", "disabled_reason": None,
                         "failing_since": "2026-11-01T12:00:00.123456Z"},
        "delivery": {"id": delivery.id, "event_id": delivery.event_id, "event_type": "task.succeeded", "task_id": delivery.task_id,
                     "status": "pending", "attempts": 4, "next_attempt_at": "2026-11-10T12:00:00.123456Z"},
        "last_error": "answered 500",
    }


async def test_a_success_in_between_starts_the_count_anew(shelf: Shelf) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    await failed(shelf, delivery, 2)
    await attempted(shelf, delivery, status_code=200)
    await failed(shelf, delivery, 3)
    assert await told(shelf) == []
    await failed(shelf, delivery, 1)
    assert [event.type for event in await told(shelf)] == [EventType.DELIVERY_FAILING]


async def test_no_more_than_one_of_a_kind_is_told_in_an_hour(shelf: Shelf) -> None:
    await failing(shelf)
    for seconds in (1, 3599):
        await failed(shelf, await shelf.deliver(), at=after(seconds=seconds))
    assert len(await told(shelf)) == 1
    await failed(shelf, await shelf.deliver(), at=after(hours=1))
    assert len(await told(shelf)) == 2


async def test_each_subscription_has_an_hour_of_its_own(shelf: Shelf) -> None:
    one, other = await shelf.subscribe(), await shelf.subscribe()
    await shelf.finish(await shelf.add_open_task())
    for delivery in await shelf.deliveries():
        await failed(shelf, delivery)
    assert {event.about_id for event in await told(shelf)} == {one.id, other.id}


async def test_a_disabled_subscription_is_told_of_with_its_reason_and_its_last_error(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    delivery = await shelf.deliver()
    await attempted(shelf, delivery, status_code=410, disable=DisabledReason.GONE)
    [event] = await told(shelf)
    assert (event.type, event.about_id) == (EventType.SUBSCRIPTION_DISABLED, subscription.id)
    said = data_of(event)
    assert (said["subscription"]["status"], said["subscription"]["disabled_reason"]) == ("disabled", "gone")
    assert (said["delivery"]["id"], said["delivery"]["status"], said["last_error"]) == (delivery.id, "held", "answered 410")


async def test_the_first_success_after_a_failure_that_was_told_is_told_once(shelf: Shelf) -> None:
    subscription, delivery = await failing(shelf)
    await attempted(shelf, delivery, status_code=200, at=after(seconds=9))
    await attempted(shelf, await shelf.deliver(), status_code=200, at=after(hours=2))
    [_, event] = await told(shelf)
    assert (event.type, event.about_id, event.created_at) == (EventType.SUBSCRIPTION_RECOVERED, subscription.id, after(seconds=9))
    assert data_of(event)["subscription"]["failing_since"] is None
    assert data_of(event)["last_error"] is None


async def test_the_first_success_after_it_was_disabled_and_resumed_is_told(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    delivery = await shelf.deliver()
    await attempted(shelf, delivery, status_code=410, disable=DisabledReason.GONE)
    await shelf.store.set_subscription_status(shelf.account_id, subscription.id, SubscriptionStatus.ACTIVE, now=NOW)
    assert len(await told(shelf)) == 1
    await attempted(shelf, delivery, status_code=200)
    assert [event.type for event in await told(shelf)] == [EventType.SUBSCRIPTION_DISABLED, EventType.SUBSCRIPTION_RECOVERED]


async def test_a_success_after_failures_of_which_nobody_was_told_is_not_told(shelf: Shelf) -> None:
    await shelf.subscribe()
    delivery = await shelf.deliver()
    await failed(shelf, delivery, 3)
    await attempted(shelf, delivery, status_code=200)
    assert await told(shelf) == []


async def test_it_goes_to_those_who_ask_and_never_to_the_one_it_speaks_of(shelf: Shelf) -> None:
    patterns = ("task.succeeded", "delivery.*")
    asking, silent = await shelf.subscribe(events=("delivery.failing",)), await shelf.subscribe(events=("task.failed",))
    failing_one, _ = await failing(shelf, events=patterns)
    [event] = await told(shelf)
    heard = {delivery.subscription_id for delivery in await shelf.deliveries(event_type=EventType.DELIVERY_FAILING)}
    assert heard == {asking.id}
    assert silent.id not in heard
    assert event.about_id == failing_one.id
    assert [job.event.id for job in await shelf.claim_jobs() if job.subscription.id == asking.id] == [event.id]


async def test_nothing_is_told_of_a_subscription_that_is_deleted(shelf: Shelf) -> None:
    subscription = await shelf.subscribe()
    delivery = await shelf.deliver()
    await failed(shelf, delivery, 3)
    await shelf.store.remove_subscription(shelf.account_id, subscription.id, now=NOW)
    await attempted(shelf, delivery)
    assert await told(shelf) == []


async def test_the_callback_urls_on_one_host_count_as_one(shelf: Shelf) -> None:
    for number in range(3):
        task = shelf.task(status=TaskStatus.SUBMITTED, accepted=True)
        callback = shelf.subscription(url=f"https://a.example/{number}", task_id=task.id)
        await shelf.store.add_task(task, due_at=None, callback=callback)
        await shelf.finish(task)
        [delivery] = await shelf.deliveries(task_id=task.id)
        await failed(shelf, delivery)
    assert len(await told(shelf)) == 1


@pytest.mark.parametrize(("fmt", "url", "shown"), [
    ("standard", "https://a.example:8443/x/y", "https://a.example:8443/x/y"),
    ("slack", "https://hooks.slack.com/services/T/B/secret", "https://hooks.slack.com/***"),
    ("discord", "https://discord.com/api/webhooks/1/secret?wait=true", "https://discord.com/***?***"),
])
async def test_what_may_be_a_secret_in_the_address_is_masked(shelf: Shelf, fmt: str, url: str, shown: str) -> None:
    await shelf.subscribe(url=url, format=fmt)
    await failed(shelf, await shelf.deliver())
    [event] = await told(shelf)
    assert data_of(event)["subscription"]["url"] == shown


async def test_low_credits_are_told_to_the_operator_once_a_day(shelf: Shelf) -> None:
    operator = shelf.account_id
    subscriber = await shelf.subscribe(events=("provider.*",))
    await shelf.add_account("shop")

    async def spent(left: float | None, hours: float) -> None:
        task = await shelf.add_open_task()
        await shelf.finish(task, now=after(hours=hours), update=Update(status=TaskStatus.SUCCEEDED, credits_left=left))

    for left, hours in ((None, 0), (5.0, 0), (4.5, 1), (4.0, 2), (3.0, 25)):
        await spent(left, hours)
    assert await told(shelf) == []
    first, second = await told(shelf, account_id=operator)
    assert (first.type, first.provider, first.created_at) == (EventType.CREDITS_LOW, "kie", after(hours=1))
    assert (data_of(first), data_of(second)["credits_left"]) == ({"provider": "kie", "credits_left": 4.5}, 3.0)
    shelf.account_id = operator
    assert len(await shelf.deliveries(subscription_id=subscriber.id)) == 2


async def test_a_callback_that_another_provider_would_have_to_make_tells_nothing_of_credits(shelf: Shelf) -> None:
    task = await shelf.add_open_task()
    change = shelf.success(task, update=Update(status=TaskStatus.SUCCEEDED, credits_left=1.0),
                           callback=shelf.callback(task, provider="apiframe"))
    assert await shelf.store.apply(change) is None
    assert await told(shelf) == []
