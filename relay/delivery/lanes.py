"""How many attempts may be under way, in all and for each subscription, so that one slow receiver cannot take every place.

What was claimed for a subscription that has no place left waits in its lane, as much as it has places; an attempt that ends hands its
place to the one that waits longest. A lane in which something waits is full: nothing more is claimed for it meanwhile.
"""

from collections import deque

from relay.ports import Job


class _Lane:
    def __init__(self) -> None:
        self.under_way = 0
        self.waiting: deque[Job] = deque()


class Lanes:
    """The places. A lane exists only while something is in it."""

    def __init__(self, *, concurrency: int, per_subscription: int) -> None:
        self._concurrency = concurrency
        self._per_subscription = per_subscription
        self._under_way = 0
        self._lanes: dict[str, _Lane] = {}

    @property
    def free(self) -> int:
        """How many more attempts may begin."""
        return self._concurrency - self._under_way

    def full(self) -> list[str]:
        """The subscriptions for which nothing is to be claimed now."""
        return [name for name, lane in self._lanes.items() if lane.under_way >= self._per_subscription]

    def begin(self, subscription_id: str) -> bool:
        """Take a place; False if there is none."""
        lane = self._lanes.get(subscription_id) or _Lane()
        if self._under_way >= self._concurrency or lane.under_way >= self._per_subscription:
            return False
        self._lanes[subscription_id] = lane
        lane.under_way += 1
        self._under_way += 1
        return True

    def wait(self, job: Job) -> bool:
        """Stand in line behind what is under way for the same subscription; False if nothing is, or the line is as long as it may be."""
        lane = self._lanes.get(job.subscription.id)
        if lane is None or len(lane.waiting) >= self._per_subscription:
            return False
        lane.waiting.append(job)
        return True

    def follow(self, subscription_id: str) -> Job | None:
        """An attempt has ended: the job that takes over its place, or None, and the place is free."""
        lane = self._lanes[subscription_id]
        if lane.waiting:
            return lane.waiting.popleft()
        lane.under_way -= 1
        self._under_way -= 1
        if not lane.under_way:
            del self._lanes[subscription_id]
        return None

    def empty(self, subscription_id: str) -> list[Job]:
        """Send away what waits for one subscription."""
        lane = self._lanes[subscription_id]
        jobs = list(lane.waiting)
        lane.waiting.clear()
        return jobs

    def empty_all(self) -> list[Job]:
        """Send away all that wait."""
        return [job for name in self._lanes for job in self.empty(name)]
