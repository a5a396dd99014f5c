"""What most sentences need: an event that is told to one receiver, and what the API then says of it."""

from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
from msgspec import Struct

from tests.delivery.made import now
from tests.web.conftest import read_json
from tests.web.subscribing import PATH, act, look_at, settled, subscribe

TWICE = ["0s", "1h"]
"""A schedule with a retry that no test waits for."""


class Trial(Struct):
    """How the API shows them once the attempts are made."""

    subscription: dict[str, Any]
    delivery: dict[str, Any]
    attempts: list[dict[str, Any]]

    @property
    def attempt(self) -> dict[str, Any]:
        """The last one."""
        return self.attempts[-1]

    @property
    def wait(self) -> float:
        """Seconds from the end of the last attempt to the next."""
        took: float = self.attempt["duration_ms"] / 1000
        return seconds_between(self.attempt["started_at"], self.delivery["next_attempt_at"]) - took

    @property
    def standing(self) -> tuple[str, int]:
        """Status and number of attempts."""
        return self.delivery["status"], self.delivery["attempts"]


async def try_one(api: httpx.AsyncClient, url: str, *, attempts: int = 1, **wish: Any) -> Trial:
    """A new subscription that is told one ping, after so many attempts."""
    return await told(api, await subscribe(api, url=url, **({"retry_schedule": TWICE} | wish)), attempts=attempts)


async def told(api: httpx.AsyncClient, subscription: dict[str, Any], *, attempts: int = 1, kind: str = "ping") -> Trial:
    """A sample that goes to this subscription alone, after so many attempts."""
    delivery = await act(api, subscription, "test", {"type": kind}, status=202)
    await settled(api, delivery, attempts)
    return await seen(api, subscription, delivery)


async def seen(api: httpx.AsyncClient, subscription: dict[str, Any], delivery: dict[str, Any]) -> Trial:
    """As they are now."""
    return Trial(read_json(await api.get(f"{PATH}/{subscription['id']}"), 200), await look_at(api, delivery),
                 await attempts_at(api, delivery))


async def attempts_at(api: httpx.AsyncClient, delivery: dict[str, Any]) -> list[dict[str, Any]]:
    return list(read_json(await api.get(f"/api/v1/deliveries/{delivery['id']}/attempts"), 200)["data"])


async def deliveries(api: httpx.AsyncClient, **which: Any) -> list[dict[str, Any]]:
    return list(read_json(await api.get("/api/v1/deliveries", params={"limit": 200, **which}), 200)["data"])


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def http_date(**later: float) -> str:
    """As Retry-After has it."""
    return format_datetime(now() + timedelta(**later), usegmt=True)
