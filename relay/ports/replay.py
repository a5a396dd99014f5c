"""Replays: events told once more to one subscription, as a job in the background that survives a restart.

Which events: those of the subscription's account in the stretch of time, whose type one of `types` covers. With `delivery_status`
those whose newest delivery to the subscription stood so when the replay was asked for and still does, whatever its filters say
now, so that what one replay has put right is not taken again by the next, and what fails meanwhile does not prolong it; without
it those that its filters let through, told to it before or not, which is how a new subscription gets what happened before there
was one. Never an event that was erased, or is on its way to it already (pending).

Each of them becomes a new delivery; one that was held gives way to it and is cancelled.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from relay.model import Replay
from relay.ports.page import Page


class Replays(Protocol):
    """The part of the store that replays are kept in."""

    async def add_replay(self, replay: Replay) -> Replay | None:
        """Record it, to be carried out. None if its subscription is not there."""
        ...

    async def replay(self, account_id: str, replay_id: str) -> Replay | None: ...

    async def replays(self, account_id: str, subscription_id: str | None, *, limit: int, cursor: str | None = None) -> Page:
        """Those of one subscription, or all."""
        ...

    async def cancel_replay(self, account_id: str, replay_id: str, *, now: datetime) -> Replay | None:
        """Make no more deliveries, and cancel those of it that are pending or held. One that was cancelled before stays as it is.
        None if it is not there. Raises Conflict if it is done."""
        ...

    async def replays_to_advance(self) -> Sequence[str]:
        """The ids of running replays whose subscription is active, the oldest of each subscription."""
        ...

    async def advance_replay(self, replay_id: str, *, ahead: int, now: datetime) -> bool:
        """One step: count the events if that is not done yet; else make the next deliveries, as many as leave at most `ahead` of
        this replay without an attempt, fewer for a subscription that is sent to more slowly; else, if all are made and attempted,
        end it. The step is recorded with how far it came, so that none is made twice or left out. False: nothing can be done before
        the topic `replays` rings."""
        ...
