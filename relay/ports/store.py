"""The Store: what is recorded, and in which steps. Every sentence here is held by the conformance suite in tests/stores.

Durability: when a writing method returns, its change survives kill -9 and a power cut. A method either happens whole or
not at all, cancelled calls included; one that cannot raises StoreError. Callers that wait at the same moment may share one
transaction, and one caller's fault never fails another's change.

Ownership: whatever belongs to an account is None (or absent) to the others.

Leases: claiming marks a task or delivery as held by this process, until it is given back; what a dead process held is free
again after `recover`, or once those that share the store with it find it dead (see ports.fleet). Nothing that is held is claimed
twice, and while one process sends to a subscription no other one does.

Ringing: after the commit the store rings the bell: `submissions` (a task can be sent), `room:PROVIDER` (one that was sent has ended, or
never arrived), `doubtful` (a process died that held some), `polls` (a task is to be looked at), `deliveries` (one is due), `moves` (some
are to be moved), `replays` (one can go on), `task:ID` (it changed), `call:FINGERPRINT` (a caller has its answer, or is gone),
`events:ACCOUNT_ID` (there is a new event).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from relay.model import (
    Account,
    Attempt,
    Callback,
    Change,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Event,
    EventType,
    Key,
    Note,
    Subscription,
    SubscriptionStatus,
    Task,
    TaskStatus,
    Verdict,
)
from relay.ports.call import Call, Calls
from relay.ports.page import Page
from relay.ports.provider import Limits
from relay.ports.replay import Replays
from relay.ports.retention import Retention
from relay.ports.secret import Secrets


class TaskFilter(Struct, frozen=True, kw_only=True):
    """All given fields must match. `metadata`: values compared as text."""

    status: TaskStatus | None = None
    provider: str | None = None
    model: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    metadata: dict[str, str] = {}


class SubscriptionFilter(Struct, frozen=True, kw_only=True):
    """`task_id`: the subscriptions of that task's callback_url; without it, those of no task. Deleted ones never show."""

    url: str | None = None
    task_id: str | None = None


class DeliveryFilter(Struct, frozen=True, kw_only=True):
    """`since` is inclusive, over created_at."""

    status: DeliveryStatus | None = None
    subscription_id: str | None = None
    task_id: str | None = None
    event_type: EventType | None = None
    since: datetime | None = None


class EventFilter(Struct, frozen=True, kw_only=True):
    """All given fields must match."""

    type: EventType | None = None
    task_id: str | None = None


class CallbackFilter(Struct, frozen=True, kw_only=True):
    """All given fields must match."""

    task_id: str | None = None
    verdict: Verdict | None = None


class Idempotency(Struct, frozen=True, kw_only=True):
    """A caller's key for one request, per account; `fingerprint` tells whether a repeat has the same body."""

    key: str
    fingerprint: str


class Claim(Struct, frozen=True, kw_only=True):
    """Tasks now held by the caller. `next_at`: when to claim again though nothing rings; None: only when it rings.
    `due_since`: since when the longest due of them was due. `is_full`: others are queued, but as many as may run do: to be claimed
    again when it rings for room, and not before."""

    tasks: list[Task]
    next_at: datetime | None = None
    due_since: datetime | None = None
    is_full: bool = False


class Applied(Struct, frozen=True, kw_only=True):
    """The task after a change, what became of the change, and the events it made."""

    task: Task
    verdict: Verdict
    events: tuple[Event, ...] = ()


class Job(Struct, frozen=True, kw_only=True):
    """A delivery that is due, with all that is needed to attempt it. `task` is present where the event speaks of one. `seen`: how
    many changes of the account's subscriptions the store had recorded when this was read; see Store.is_current."""

    delivery: Delivery
    subscription: Subscription
    event: Event
    task: Task | None = None
    seen: int = -1


class Taker(Protocol):
    """Who takes deliveries the moment they are made, past the queue of those that are due."""

    def room_for(self, subscription: Subscription) -> int:
        """How many of its deliveries could be attempted, or stand in line for that, now. In the event loop, and a guess."""
        ...

    def take(self, jobs: Sequence[Job]) -> None:
        """They are recorded, and held by whoever takes them, as if they had been claimed. What there is no room for after all is
        to be released. In the event loop."""
        ...


class JobClaim(Struct, frozen=True, kw_only=True):
    """Deliveries now held by the caller. `next_at`: when to claim again though nothing rings (in the past: at once); None: only when
    it rings."""

    jobs: list[Job]
    next_at: datetime | None = None


class Settlement(Struct, frozen=True, kw_only=True):
    """What one attempt makes of its delivery. `next_at` goes with pending. `disable`: the subscription is to be disabled, its
    pending deliveries (this one too, unless it ends here) held. `slowness`: the subscription's from now on; None: as it is."""

    attempt: Attempt
    status: DeliveryStatus
    next_at: datetime | None = None
    disable: DisabledReason | None = None
    slowness: int | None = None


class Timeline(Struct, frozen=True, kw_only=True):
    """Everything recorded about one task, each list oldest first."""

    task: Task
    notes: list[Note]
    callbacks: list[Callback]
    events: list[Event]
    deliveries: list[Delivery]
    attempts: list[Attempt]


class Store(Calls, Replays, Retention, Secrets, Protocol):
    """See the module docstring for what holds of every method."""

    async def recover(self) -> None:
        """Free what dead processes held. To be called before anything is claimed."""
        ...

    async def check(self) -> None:
        """Raises StoreError unless a write can be committed now."""
        ...

    async def close(self) -> None: ...

    # Accounts and keys

    async def add_account(self, account: Account) -> Account:
        """Raises Conflict if the name is taken."""
        ...

    async def account(self, id_or_name: str) -> Account | None: ...

    async def accounts(self, *, limit: int, cursor: str | None = None) -> Page: ...

    async def set_retention(self, account_id: str, retention: timedelta | None) -> Account | None:
        """How long this account's finished things are kept; None: as long as everybody's. None if there is no such account."""
        ...

    async def add_key(self, key: Key) -> None:
        """A key with the same id is replaced (the operator's own key changed). Raises Conflict if another key in force has this hash."""
        ...

    async def key(self, key_hash: str) -> tuple[Key, Account] | None:
        """The key with this hash, unless revoked, and its account."""
        ...

    async def keys(self, account_id: str, *, limit: int, cursor: str | None = None) -> Page:
        """Those not revoked."""
        ...

    async def revoke_key(self, account_id: str, key_id: str, *, now: datetime) -> bool:
        """False if there is no such key in force."""
        ...

    # Tasks

    async def add_task(self, task: Task, *, due_at: datetime | None, callback: Subscription | None = None,
                       idempotency: Idempotency | None = None, call: Call | None = None) -> tuple[Task, bool]:
        """Record a task, the subscription of its `callback_url`, the idempotency key and the call together. `due_at`: when to send it, or,
        for a watched task, when to look first (None: never but at its deadline). A repeated key gives the first task and
        False; with another fingerprint it raises Conflict."""
        ...

    async def task(self, account_id: str, task_id: str) -> Task | None: ...

    async def task_for_callback(self, task_id: str) -> Task | None:
        """Whatever its account: the signed token was the permission."""
        ...

    async def tasks(self, account_id: str, which: TaskFilter, *, limit: int, cursor: str | None = None) -> Page: ...

    async def timeline(self, account_id: str, task_id: str) -> Timeline | None: ...

    async def erase_task(self, account_id: str, task_id: str, *, now: datetime) -> Task | None:
        """Empty prompt, input, metadata, images and error message of the task, and the bodies of its callbacks, events and
        attempts; cancel its deliveries that are not done. Gives the task as it stood before, or None. Rows and counts
        stay."""
        ...

    async def claim_submissions(self, provider: str, *, limits: Limits, deadline: timedelta, now: datetime) -> Claim:
        """Queued tasks that are due, oldest first, as many as the limits allow: running ones (submitted or processing, not
        watched: those run on somebody else's account) count against `max_concurrent`, those sent in the last `rate.seconds`
        against `rate.count`. Each becomes submitted, `submitted_at` now, `sends` one more, `deadline_at` = now + deadline, and
        held: from here on it may have reached the provider."""
        ...

    async def defer_submission(self, task_id: str, *, until: datetime, note: Note | None, sends: int | None = None) -> None:
        """The held task surely did not reach the provider: queued again, due at `until`, `submitted_at` null. A task that
        ended meanwhile stays so, as does one that was sent more than `sends` times by now: whoever says this again because of a
        StoreError may have been heard the first time."""
        ...

    async def doubtful(self, provider: str) -> list[Task]:
        """Submitted tasks whose submission nobody holds any more and that were never answered: what a crash left. A task that was
        scheduled is no longer among them."""
        ...

    async def claim_polls(self, provider: str, *, limit: int, now: datetime) -> Claim:
        """Open tasks to be looked at: accepted or scheduled, and due or past their deadline, the longest due first. Held on return."""
        ...

    async def schedule(self, task_id: str, *, at: datetime, polled: bool, note: Note | None = None) -> None:
        """Look at this open task again then, at its deadline at the latest; the task is given back if it was held. `polled`
        counts it as asked; without it, an earlier look that a callback asked for stands, where the provider's id is known.
        Nothing happens to a final task."""
        ...

    async def apply(self, change: Change) -> Applied | None:
        """Record a change: in one transaction the callback with its verdict, the task as lifecycle.decide moves it, the events and
        their deliveries (pending, or held where the subscription is not active; to the task's own callback_url, too). Where the decision
        `asks_provider` the task is due at once. A task that ended is given back and never due again. An update that says that few
        credits are left makes `provider.credits_low` in the account `default`, once per provider and day. None if there is
        no such task."""
        ...

    async def callbacks(self, account_id: str, which: CallbackFilter, *, limit: int, cursor: str | None = None) -> Page: ...

    # Events

    async def add_event(self, event: Event) -> list[Delivery]:
        """Record an event that no change made (a ping, a sample), with a delivery for each subscription that matches; for
        `event.subscription_id` alone if it names one, whatever its filters say."""
        ...

    async def event(self, account_id: str, event_id: str) -> Event | None: ...

    async def events(self, account_id: str, which: EventFilter, *, limit: int, cursor: str | None = None) -> Page: ...

    async def events_since(self, account_id: str, after: str | None, *, limit: int) -> list[Event]:
        """In the order of commit, oldest first, those behind the event `after`; no event that commits later ever stands before
        one that was given here. None: from the first. An id that is not known (any more): by the order of ids."""
        ...

    async def last_event_id(self, account_id: str) -> str | None: ...

    # Subscriptions

    async def add_subscription(self, subscription: Subscription, *, identity: str, now: datetime) -> tuple[Subscription, bool]:
        """`identity` says what makes it the same subscription. If one with this identity exists it is given back with False,
        active again if it was paused or disabled (its held deliveries become pending)."""
        ...

    async def subscription(self, account_id: str, subscription_id: str) -> Subscription | None:
        """A deleted one is None."""
        ...

    async def subscriptions(self, account_id: str, which: SubscriptionFilter, *, limit: int, cursor: str | None = None) -> Page: ...

    async def change_subscription(self, account_id: str, subscription_id: str, change: Callable[[Subscription], Subscription], *,
                                  identity: Callable[[Subscription], str]) -> Subscription | None:
        """Write what `change` makes of it as it stands: what its owner may set and its secrets; not status nor health. Nothing comes
        in between, so of changes at the same instant each builds upon the other. None if it is gone. Raises Conflict if the identity
        is another's, and whatever RequestError `change` raises; then nothing is written."""
        ...

    async def set_subscription_status(self, account_id: str, subscription_id: str, status: SubscriptionStatus, *,
                                      now: datetime, keep_held: bool = False) -> Subscription | None:
        """Pause or resume. Pausing holds its pending deliveries; resuming clears `disabled_reason` and `failing_since` and
        makes held ones pending, due at once, oldest first, unless `keep_held`."""
        ...

    async def remove_subscription(self, account_id: str, subscription_id: str, *, now: datetime) -> bool:
        """Pending and held deliveries become cancelled, and its replays. True if it is or was this account's, deleted before or not."""
        ...

    async def move_deliveries(self) -> bool:
        """One short step of what is left to do for subscriptions that were paused, resumed, disabled or deleted while very many
        deliveries waited. Until it is done none of theirs is claimed, and all of them are shown as if it were. False: nothing is left
        before the topic `moves` rings."""
        ...

    # Deliveries

    async def claim_deliveries(self, *, limit: int, now: datetime, rooms: Mapping[str, int] | None = None) -> JobClaim:
        """Pending deliveries that are due: of each subscription as many as `rooms` says, or one if it is not named there, its longest
        due first. Subscriptions take turns, so that a backlog keeps nobody waiting, and it costs no more than what is claimed,
        however much is pending. Of an ordered subscription at most one, and never one whose task has an earlier delivery to it that is
        still pending, under way or not. Held on return. `next_at` is blind to subscriptions without room."""
        ...

    def hand_to(self, taker: Taker | None) -> None:
        """From now on offer deliveries that `apply` makes to `taker`, those of ordered subscriptions and of such as have others due
        already left out. A hint: all of them may as well be claimed. None: to nobody."""
        ...

    def is_current(self, job: Job) -> bool:
        """True only if nothing has changed since the job was read that could keep it from being sent as it is; where another process may
        change something, as far as was known half a second ago."""
        ...

    async def confirm_job(self, job: Job) -> Job | None:
        """A claimed job that had to wait, with its subscription as it is now; None if it is not to be sent any more (it was held
        or cancelled meanwhile, or is another process's)."""
        ...

    async def settle(self, settlements: Sequence[Settlement], *, now: datetime) -> None:
        """Record attempts and what they make of their deliveries, all given back; and the subscription's health: a success
        clears `failing_since`, a failure sets it if it is not set. Of several values of `slowness` the last one stands. A delivery
        that was cancelled or held meanwhile stays so unless it was delivered.
        What owners are to hear of is recorded with it: `subscription.disabled`, `delivery.failing` (the fourth failure in a row),
        `subscription.recovered` (the first success after one of those); of each kind at most one per subscription and hour, the
        callback_urls on one host being one; never delivered to the subscription it speaks of."""
        ...

    async def release_deliveries(self, delivery_ids: Sequence[str]) -> None:
        """Give back without an attempt: due as before."""
        ...

    async def add_delivery(self, account_id: str, event_id: str, subscription_id: str, *, now: datetime) -> Delivery | None:
        """One more delivery of an event to a subscription, due at once, or held while that is not active; even if it had one. None if
        either is not there."""
        ...

    async def retry_delivery(self, account_id: str, delivery_id: str, *, now: datetime) -> Delivery | None:
        """Pending and due at once, whatever its status was, `manual`. None if it is not there. Raises Conflict if its
        subscription is deleted, its event was erased, or an attempt is under way."""
        ...

    async def delivery(self, account_id: str, delivery_id: str) -> Delivery | None: ...

    async def deliveries(self, account_id: str, which: DeliveryFilter, *, limit: int, cursor: str | None = None) -> Page: ...

    async def attempts(self, account_id: str, delivery_id: str) -> list[Attempt]:
        """Oldest first."""
        ...

    # Figures

    async def figures(self, *, now: datetime) -> "Figures":
        """Figures for metrics, in a time that does not grow with what is finished."""
        ...


class Figures(Struct, frozen=True, kw_only=True):
    """Open tasks by (provider, status); deliveries pending; the age in seconds of the one longest due (0 without)."""

    open_tasks: dict[tuple[str, str], int]
    pending_deliveries: int
    oldest_due_seconds: float
