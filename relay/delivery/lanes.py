"""Who may begin an attempt, so that receivers that hang, crawl or fail take nothing from the others.

Each subscription has a lane, as wide as its pace allows. A lane begins with one attempt under way and doubles with each success, so
one that nobody knows yet, or that hangs, holds one place and not eight. Of all places a quarter is kept for lanes that have none. An
attempt that has gone on for two seconds counts as slow, as do those of a lane whose last attempt was slow, or that was failing
when it was last heard of: slow ones together have half of the places, and again half of those is kept for lanes that have none.
So however many receivers hang, half of the places go round among those that answer; and whoever gets better shows it with one attempt.
A lane that has not answered yet may turn out to hang: such lanes and slow ones together have seven eighths of the places, so that a
thousand new ones that hang leave the rest to those that are known to answer, from the first moment on.

In a lane that is neither ordered, nor paced, nor slow more deliveries stand in line, so that an attempt that ends is followed by the
next without asking the store: as many as it carries in a few seconds, since the store takes as long to write, claim and read one as
an attempt takes. They are bounded in all, by number and by bytes. All the rest waits in the store.

Times are seconds of a clock that only goes forward.
"""

import math
from collections import deque
from typing import Final

import msgspec

from relay.delivery.outcome import Tried
from relay.delivery.pace import concurrency, interval
from relay.model import Subscription
from relay.ports import Job

SLOW_SECONDS: Final = 2.0
_WIDEST: Final = 1024
_LINE_SECONDS: Final = 5.0
_LONGEST_LINE: Final = 2048
_MOST_IN_LINE: Final = 4096
_MOST_BYTES_IN_LINE: Final = 4 * 1024 * 1024  # of events: thousands of usual ones, with what goes with them three times as much
_MOST_REMEMBERED: Final = 4096  # lanes with nothing under way


class Lane:
    """One subscription. `slowness` is our own, newer than the store's."""

    def __init__(self, subscription: Subscription) -> None:
        self.name = subscription.id
        self.slowness = subscription.slowness
        self.is_slow = subscription.failing_since is not None
        self.under_way = 0
        self.begun_at = -math.inf
        self.line: deque[Job] = deque()
        self._window = 1
        self._seconds = SLOW_SECONDS
        self._seen = subscription
        self._take_measure()

    def see(self, subscription: Subscription) -> None:
        """Its owner may have changed it."""
        if subscription != self._seen:
            self._seen = subscription
            self._take_measure()

    def _take_measure(self) -> None:
        now = msgspec.structs.replace(self._seen, slowness=self.slowness)
        self._concurrency, self._interval, self._is_ordered = concurrency(now), interval(now), now.ordered

    def learn(self, tried: Tried, slowness: int | None) -> None:
        """An attempt has ended. `slowness`: what it is from now on; None: as it was."""
        if slowness is not None:
            self.slowness = slowness
            self._take_measure()
        self._seconds = tried.attempt.duration_ms / 1000
        self.is_slow = self._seconds >= SLOW_SECONDS
        if tried.is_success:
            self._window = min(self._window * 2, _WIDEST)
        elif self.is_slow and tried.attempt.status_code is None:
            self._window = 1

    @property
    def is_doubtful(self) -> bool:
        """Slow, or not known to answer."""
        return self.is_slow or self._window == 1

    @property
    def next_at(self) -> float:
        """When its pace allows another to begin."""
        return self.begun_at + self._interval

    def room(self, now: float) -> int:
        """How many more may begin now, as far as it is up to this lane."""
        room = max(0, min(self._concurrency, self._window) - self.under_way)
        if not self._interval:
            return room
        return min(1, room) if now >= self.next_at else 0

    def room_in_line(self) -> int:
        """A line holds as much as the lane carries in five seconds, and at least one for each that may be under way; but only
        where something is that it can follow."""
        if not self.is_quick or self._window == 1:
            return 0
        width = min(self._concurrency, self._window)
        length = max(width, int(width * _LINE_SECONDS / max(self._seconds, 0.0001)))
        return max(0, min(length, _LONGEST_LINE) - len(self.line))

    @property
    def is_quick(self) -> bool:
        """Nothing but its width keeps an attempt from beginning."""
        return not (self._is_ordered or self._interval or self.is_slow)


class Place:
    """An attempt under way."""

    __slots__ = ("begun_at", "is_doubtful", "is_slow", "lane")

    def __init__(self, lane: Lane, begun_at: float) -> None:
        self.lane = lane
        self.begun_at = begun_at
        self.is_slow = lane.is_slow
        self.is_doubtful = lane.is_doubtful

    def as_seen(self, job: Job) -> Job:
        """The job with the slowness that we know."""
        if self.lane.slowness == job.subscription.slowness:
            return job
        return msgspec.structs.replace(job, subscription=msgspec.structs.replace(job.subscription, slowness=self.lane.slowness))


class Lanes:
    """The places: `places` in all."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._slow = 0
        self._doubtful = 0
        self._in_line = self._bytes_in_line = 0
        self._quick: dict[Place, None] = {}  # in the order in which they began
        self._busy: dict[str, Lane] = {}
        self._idle: dict[str, Lane] = {}
        self._resting: dict[str, Lane] = {}  # idle too, but its pace keeps it from beginning

    @property
    def free(self) -> int:
        """How many more attempts may begin."""
        return self._places - self._taken

    def rooms(self, now: float) -> dict[str, int]:
        """For how many deliveries there is room, where that is not just one."""
        self._age(now)
        self._resting = {name: lane for name, lane in self._resting.items() if now < lane.next_at}
        return ({lane.name: self._room(lane, now) + self._room_in_line(lane) for lane in self._busy.values()}
                | dict.fromkeys([*self._resting, *(lane.name for lane in self._shut_out())], 0))

    def room_for_fresh(self, subscription: Subscription) -> int:
        """How many deliveries could begin or stand in line that the store need not look at first: where nothing orders or slows them, in
        a lane that is known, or that of a task's own subscription, which had none before. A guess."""
        lane = self._busy.get(subscription.id) or self._idle.get(subscription.id)
        if lane is None:
            return int(subscription.task_id is not None and min(self._shared_room(slow=False, first=True), self._room_in_doubt()) > 0)
        return self._room(lane, math.inf) + self._room_in_line(lane) if lane.is_quick else 0

    def opens_at(self, now: float) -> float | None:
        """When the pace of some lane allows it to go on."""
        times = [lane.next_at for group in (self._busy, self._resting) for lane in group.values() if now < lane.next_at]
        return min(times, default=None)

    def begin(self, job: Job, now: float) -> Place | None:
        """Take a place; None if there is none."""
        self._age(now)
        lane = self._lane(job.subscription)
        return self._place(lane, now) if self._room(lane, now) > 0 else None

    def wait(self, job: Job) -> bool:
        """Stand in line behind what is under way for the same subscription; False if nothing is, or the line is full."""
        lane = self._busy.get(job.subscription.id)
        if lane is None or self._room_in_line(lane) <= 0:
            return False
        lane.line.append(job)
        self._in_line += 1
        self._bytes_in_line += len(job.event.body)
        return True

    def leave(self, place: Place) -> None:
        """An attempt has ended, or was not made."""
        lane = place.lane
        lane.under_way -= 1
        self._taken -= 1
        self._slow -= place.is_slow
        self._doubtful -= place.is_doubtful
        self._quick.pop(place, None)
        if lane.under_way == 0 and not lane.line:
            self._rest(lane)

    def follow(self, name: str, now: float) -> tuple[Job, Place] | None:
        """The first in line, and its place; None if nobody waits, or there is no place."""
        lane = self._busy.get(name)
        if lane is None or not lane.line:
            return None
        self._age(now)
        lane.see(lane.line[0].subscription)
        if self._room(lane, now) <= 0:
            return None
        job = lane.line.popleft()
        self._in_line -= 1
        self._bytes_in_line -= len(job.event.body)
        return job, self._place(lane, now)

    def empty(self, name: str) -> list[Job]:
        """Send away the line of one lane."""
        lane = self._busy.get(name)
        if lane is None:
            return []
        jobs = list(lane.line)
        lane.line.clear()
        self._in_line -= len(jobs)
        self._bytes_in_line -= sum(len(job.event.body) for job in jobs)
        if lane.under_way == 0:
            self._rest(lane)
        return jobs

    def empty_stranded(self, name: str) -> list[Job]:
        """The same, if nothing is under way that they could follow."""
        lane = self._busy.get(name)
        return [] if lane is None or lane.under_way else self.empty(name)

    def empty_all(self) -> list[Job]:
        """Send away all that stand in line."""
        return [job for name in list(self._busy) for job in self.empty(name)]

    def _place(self, lane: Lane, now: float) -> Place:
        if not lane.under_way:
            self._wake(lane)
        place = Place(lane, now)
        lane.under_way += 1
        lane.begun_at = now
        self._taken += 1
        self._slow += place.is_slow
        self._doubtful += place.is_doubtful
        self._quick[place] = None
        return place

    def _lane(self, subscription: Subscription) -> Lane:
        lane = self._busy.get(subscription.id) or self._idle.get(subscription.id)
        if lane is not None:
            lane.see(subscription)
            return lane
        lane = Lane(subscription)
        self._rest(lane)
        return lane

    def _rest(self, lane: Lane) -> None:
        self._busy.pop(lane.name, None)
        self._idle[lane.name] = self._resting[lane.name] = lane
        if len(self._idle) > _MOST_REMEMBERED:
            forgotten = next(iter(self._idle))
            del self._idle[forgotten]
            self._resting.pop(forgotten, None)

    def _wake(self, lane: Lane) -> None:
        self._idle.pop(lane.name, None)
        self._resting.pop(lane.name, None)
        self._busy[lane.name] = lane

    def _age(self, now: float) -> None:
        """What has gone on for long is slow from now on, and so is its lane."""
        while (place := next(iter(self._quick), None)) and now - place.begun_at >= SLOW_SECONDS:
            del self._quick[place]
            self._slow += not place.is_slow
            self._doubtful += not place.is_doubtful
            place.is_slow = place.is_doubtful = place.lane.is_slow = True

    def _shut_out(self) -> list[Lane]:
        """Idle lanes that may not begin because of what others of their sort do."""
        no_slow, no_doubtful = self._shared_room(slow=True, first=True) <= 0, self._room_in_doubt() <= 0
        return [lane for lane in self._idle.values() if (no_slow and lane.is_slow) or (no_doubtful and lane.is_doubtful)
                ] if no_slow or no_doubtful else []

    def _room(self, lane: Lane, now: float) -> int:
        room = lane.room(now)
        if room == 0:
            return 0
        room = min(room, self._shared_room(slow=lane.is_slow, first=not lane.under_way))
        return max(0, min(room, self._room_in_doubt()) if lane.is_doubtful else room)

    def _room_in_line(self, lane: Lane) -> int:
        return min(lane.room_in_line(), _MOST_IN_LINE - self._in_line) if self._bytes_in_line < _MOST_BYTES_IN_LINE else 0

    def _room_in_doubt(self) -> int:
        return self._places * 7 // 8 - self._doubtful

    def _shared_room(self, *, slow: bool, first: bool) -> int:
        """Places that are open to a lane: to its first attempt, or to further ones."""
        room = (self._places if first else self._places * 3 // 4) - self._taken
        return min(room, self._places // (2 if first else 4) - self._slow) if slow else room
