"""Every method of the store, used once: what the tests of both databases' plans look at."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import msgspec

from relay.model import Delivery, DeliveryStatus, EventType, Replay, SubscriptionStatus
from relay.ports.call import Repeat
from relay.ports.provider import Limits, Rate
from relay.ports.store import (
    CallbackFilter,
    DeliveryFilter,
    EventFilter,
    Idempotency,
    SubscriptionFilter,
    TaskFilter,
)
from tests.stores.making import NOW, Shelf

Use = Callable[[Shelf], Awaitable[Any]]

_ACCOUNT = "acc_1"
_LIMITS = Limits(max_concurrent=24, rate=Rate(20, 10.0))

_DELIVERY = Delivery(id="dlv_1", account_id=_ACCOUNT, event_id="evt_1", event_type=EventType.PING, subscription_id="sub_1",
                     status=DeliveryStatus.PENDING, next_attempt_at=NOW, created_at=NOW)


async def claim_some(shelf: Shelf) -> None:
    """From an ordered subscription, a full one and another."""
    await shelf.subscribe(ordered=True)
    await shelf.finish(shelf.task(id="task_500"))
    await shelf.claim_jobs(rooms={"sub_1": 0, "sub_500": 4})


async def fail_four_times(shelf: Shelf) -> None:
    await shelf.finish(shelf.task(id="task_500"))
    [job] = await shelf.claim_jobs()
    for attempts in range(4):
        await shelf.settle(msgspec.structs.replace(job.delivery, attempts=attempts), status=DeliveryStatus.PENDING, next_at=NOW)


async def replay_all(shelf: Shelf) -> None:
    """Made, carried out and cancelled."""
    await shelf.finish(shelf.task(id="task_500"))
    await shelf.settle((await shelf.deliveries())[0])
    until = NOW + timedelta(hours=1)
    replay = Replay(id="rpl_1", account_id=shelf.account_id, subscription_id="sub_500", until=until, created_at=until)
    await shelf.store.add_replay(replay)
    while await shelf.store.advance_replay(replay.id, ahead=9, now=until):
        continue
    await shelf.store.cancel_replay(shelf.account_id, replay.id, now=until)


USES: Final[dict[str, tuple[Use, set[str]]]] = {
    "claim_submissions": (lambda shelf: shelf.send(limits=_LIMITS), {"tasks_queued", "tasks_queued_due", "tasks_running", "tasks_sent"}),
    "claim_polls": (lambda shelf: shelf.polls(), {"tasks_polled"}),
    "doubtful": (lambda shelf: shelf.store.doubtful("kie"), {"tasks_doubtful"}),
    "claim_deliveries": (claim_some, {"lanes_due", "deliveries_due", "deliveries_pending"}),
    "recover": (lambda shelf: shelf.store.recover(), {"tasks_running", "deliveries_leased", "calls_leased"}),
    "called": (lambda shelf: shelf.store.called("task_500"), set()),
    "rejoin": (lambda shelf: shelf.store.rejoin(Repeat(fingerprint="f", left_since=NOW, taken_since=NOW, came_at=NOW), now=NOW),
               {"calls_sought"}),
    "is_attended": (lambda shelf: shelf.store.is_attended("f"), {"calls_sought"}),
    "leave": (lambda shelf: shelf.store.leave("task_500", taken=True, now=NOW), set()),
    "figures": (lambda shelf: shelf.store.figures(now=NOW),
                {"tasks_queued_due", "tasks_running", "deliveries_pending", "deliveries_due", "lanes_due"}),
    "key": (lambda shelf: shelf.store.key("hash"), {"keys_in_force"}),
    "keys": (lambda shelf: shelf.store.keys(_ACCOUNT, limit=9, cursor="key_1"), {"keys_listed"}),
    "account": (lambda shelf: shelf.store.account("default"), set()),
    "accounts": (lambda shelf: shelf.store.accounts(limit=9), set()),
    "task": (lambda shelf: shelf.store.task(_ACCOUNT, "task_1"), set()),
    "task_for_callback": (lambda shelf: shelf.store.task_for_callback("task_1"), set()),
    "tasks": (lambda shelf: shelf.store.tasks(_ACCOUNT, TaskFilter(metadata={"a": "b"}), limit=9, cursor="task_1"), {"tasks_listed"}),
    "timeline": (lambda shelf: shelf.store.timeline(shelf.account_id, "task_500"),
                 {"notes_of_task", "callbacks_of_task", "events_of_task", "deliveries_of_task", "attempts_of_delivery"}),
    "add_task again": (lambda shelf: shelf.add_task(id="task_x", idempotency=Idempotency(key="k", fingerprint="f")), set()),
    "erase_task": (lambda shelf: shelf.store.erase_task(shelf.account_id, "task_500", now=NOW),
                   {"callbacks_of_task", "events_of_task", "deliveries_of_task", "attempts_of_delivery"}),
    "sealed_secrets": (lambda shelf: shelf.store.sealed_secrets(after="sub_1", limit=9), {"sqlite_autoindex_subscriptions_1"}),
    "defer_submission": (lambda shelf: shelf.store.defer_submission("task_1", until=NOW, note=None), set()),
    "schedule": (lambda shelf: shelf.store.schedule("task_1", at=NOW, polled=True), set()),
    "callbacks": (lambda shelf: shelf.store.callbacks(_ACCOUNT, CallbackFilter(), limit=9, cursor="cbk_1"), {"callbacks_listed"}),
    "callbacks of a task": (lambda shelf: shelf.store.callbacks(_ACCOUNT, CallbackFilter(task_id="task_1"), limit=9),
                            {"callbacks_of_task"}),
    "event": (lambda shelf: shelf.store.event(_ACCOUNT, "evt_1"), set()),
    "events": (lambda shelf: shelf.store.events(_ACCOUNT, EventFilter(), limit=9, cursor="evt_1"), {"events_listed"}),
    "events of a task": (lambda shelf: shelf.store.events(_ACCOUNT, EventFilter(task_id="task_1"), limit=9), {"events_of_task"}),
    "events_since": (lambda shelf: shelf.store.events_since(_ACCOUNT, "evt_1", limit=9), {"events_listed"}),
    "last_event_id": (lambda shelf: shelf.store.last_event_id(_ACCOUNT), {"events_listed"}),
    "apply": (lambda shelf: shelf.finish(shelf.task(id="task_500")), {"subscriptions_standing", "subscriptions_of_task"}),
    "add_subscription": (lambda shelf: shelf.store.add_subscription(shelf.subscription(), identity="i", now=NOW),
                         {"subscriptions_identity"}),
    "subscription": (lambda shelf: shelf.store.subscription(_ACCOUNT, "sub_1"), set()),
    "subscriptions": (lambda shelf: shelf.store.subscriptions(_ACCOUNT, SubscriptionFilter(), limit=9), {"subscriptions_standing"}),
    "subscriptions of a task": (lambda shelf: shelf.store.subscriptions(_ACCOUNT, SubscriptionFilter(task_id="t"), limit=9),
                                {"subscriptions_of_task"}),
    "pause": (lambda shelf: shelf.store.set_subscription_status(shelf.account_id, "sub_500", SubscriptionStatus.PAUSED, now=NOW),
              {"deliveries_pending"}),
    "resume": (lambda shelf: shelf.store.set_subscription_status(shelf.account_id, "sub_500", SubscriptionStatus.ACTIVE, now=NOW),
               {"deliveries_held"}),
    "remove_subscription": (lambda shelf: shelf.store.remove_subscription(shelf.account_id, "sub_500", now=NOW),
                            {"deliveries_pending", "deliveries_held"}),
    "move_deliveries": (lambda shelf: shelf.store.move_deliveries(), set()),
    "settle": (lambda shelf: shelf.settle(_DELIVERY), set()),
    "release_deliveries": (lambda shelf: shelf.store.release_deliveries(["dlv_1"]), set()),
    "add_delivery": (lambda shelf: shelf.store.add_delivery(_ACCOUNT, "evt_1", "sub_1", now=NOW), set()),
    "retry_delivery": (lambda shelf: shelf.store.retry_delivery(_ACCOUNT, "dlv_1", now=NOW), set()),
    "delivery": (lambda shelf: shelf.store.delivery(_ACCOUNT, "dlv_1"), set()),
    "deliveries": (lambda shelf: shelf.store.deliveries(_ACCOUNT, DeliveryFilter(since=NOW), limit=9, cursor="d"), {"deliveries_listed"}),
    "deliveries of a subscription": (lambda shelf: shelf.store.deliveries(_ACCOUNT, DeliveryFilter(subscription_id="s"), limit=9),
                                     {"deliveries_of_subscription"}),
    "deliveries of a task": (lambda shelf: shelf.store.deliveries(_ACCOUNT, DeliveryFilter(task_id="t"), limit=9), {"deliveries_of_task"}),
    "a fourth failure": (fail_four_times, {"attempts_of_delivery"}),
    "replay": (lambda shelf: shelf.store.replay(_ACCOUNT, "rpl_1"), {"deliveries_replayed"}),
    "replays": (lambda shelf: shelf.store.replays(_ACCOUNT, None, limit=9), {"replays_listed"}),
    "replays of a subscription": (lambda shelf: shelf.store.replays(_ACCOUNT, "sub_1", limit=9), {"replays_of_subscription"}),
    "replays_to_advance": (lambda shelf: shelf.store.replays_to_advance(), {"replays_running"}),
    "a whole replay": (replay_all, {"events_listed", "deliveries_of_event", "deliveries_replayed"}),
    "expired_tasks": (lambda shelf: shelf.store.expired_tasks(retention=timedelta(1), now=NOW, limit=9),
                      {"tasks_listed", "deliveries_of_task", "subscriptions_of_task", "deliveries_of_subscription"}),
    "prune_tasks": (lambda shelf: shelf.store.prune_tasks(["task_500"], limit=200),
                    {"deliveries_of_task", "attempts_of_delivery", "events_of_task", "callbacks_of_task", "notes_of_task",
                     "subscriptions_of_task", "replays_of_subscription", "idempotency_of_task"}),
    "prune_rest": (lambda shelf: shelf.store.prune_rest(retention=timedelta(1), now=NOW, limit=200),
                   {"events_of_no_task", "deliveries_of_event", "attempts_of_delivery", "replays_ended", "subscriptions_deleted",
                    "alarms_told"}),
    "counts": (lambda shelf: shelf.store.counts(_ACCOUNT), {"tasks_listed"}),
    "attempts": (lambda shelf: shelf.store.attempts(_ACCOUNT, "dlv_1"), {"attempts_of_delivery"}),
}
"""With the indexes that it is to find its rows by, of those that both databases have. There are a task_500 and a sub_500 before."""
