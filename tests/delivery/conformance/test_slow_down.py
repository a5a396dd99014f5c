"""A receiver that says "too much" or "not now" is sent to more slowly, until it shows that it is well."""

import asyncio

import httpx
import pytest

from relay.delivery.lanes import Lanes
from tests.delivery.conformance.trial import seconds_between, told, try_one
from tests.delivery.made import make_job, make_subscription
from tests.delivery.receiver import OK, Answer, Receiver
from tests.web.subscribing import act, settled, subscribe

pytestmark = pytest.mark.anyio

TOO_MUCH = [429, 502, 503, 504]
AT_ONCE = ["0s"] * 5


async def span(api: httpx.AsyncClient, status: int) -> float:
    """Seconds that four attempts at one delivery take if the receiver answers this to the first three, at twenty a second at most."""
    refusal = Answer(status=status)
    async with Receiver(refusal, refusal, refusal, OK) as receiver:
        seen = await try_one(api, receiver.url, attempts=4, retry_schedule=AT_ONCE, rate_per_second=20)
    return seconds_between(seen.attempts[0]["started_at"], seen.attempt["started_at"])


async def test_429_502_503_504_halve_the_rate(api: httpx.AsyncClient) -> None:
    """1/10 + 2/10 + 4/10 s instead of 3/20 s."""
    assert min(await asyncio.gather(*(span(api, status) for status in TOO_MUCH))) > 0.6


@pytest.mark.parametrize("status", TOO_MUCH)
async def test_429_502_503_504_halve_the_concurrency_and_each_success_doubles_it_until_it_is_full_again(
        api: httpx.AsyncClient, status: int) -> None:
    async with Receiver() as receiver, Receiver() as other:
        wish = {"retry_schedule": ["0s"], "max_concurrent": 4}
        subscription, bystander = await subscribe(api, url=receiver.url, **wish), await subscribe(api, url=other.url)
        await warm_up(api, receiver, subscription)
        assert await width(api, receiver, subscription, bystander) == 4
        for refusals, expected in ((1, 2), (2, 1)):
            receiver.say(Answer(status=status))
            for _ in range(refusals):
                await told(api, subscription)
            assert await width(api, receiver, subscription, bystander, number=expected) == expected
            await warm_up(api, receiver, subscription)
            assert await width(api, receiver, subscription, bystander) == 4


@pytest.mark.parametrize("status", [400, 404, 500, 501])
async def test_no_other_failure_slows_anything_down(api: httpx.AsyncClient, status: int) -> None:
    async with Receiver() as receiver, Receiver() as other:
        subscription = await subscribe(api, url=receiver.url, retry_schedule=["0s"], max_concurrent=4)
        await warm_up(api, receiver, subscription)
        receiver.say(Answer(status=status))
        for _ in range(3):
            await told(api, subscription)
        assert await width(api, receiver, subscription, await subscribe(api, url=other.url)) == 4


async def warm_up(api: httpx.AsyncClient, receiver: Receiver, subscription: dict[str, object]) -> None:
    """So many successes that all is normal."""
    receiver.say(OK)
    for _ in range(6):
        await told(api, subscription)


async def width(api: httpx.AsyncClient, receiver: Receiver, subscription: dict[str, object], bystander: dict[str, object], *,
                number: int = 4) -> int:
    """How many of six attempts are under way at a time, once `number` are, and another subscription was told something later."""
    gate = asyncio.Event()
    receiver.say(Answer(until=gate))
    waiting = [await act(api, subscription, "test", status=202) for _ in range(6)]
    await receiver.wait_until(lambda receiver: receiver.at_once >= number)
    await told(api, bystander)
    at_once = receiver.at_once
    gate.set()
    for delivery in waiting:
        await settled(api, delivery)
    return at_once


def test_the_floor_is_one_in_flight_and_one_in_ten_seconds() -> None:
    """Time goes by as an argument."""
    lanes = Lanes(512)
    slow = make_subscription(slowness=99, rate_per_second=50.0, max_concurrent=8)
    first = lanes.begin(make_job(slow), 0.0)
    assert first is not None
    assert lanes.begin(make_job(slow), 3600.0) is None
    lanes.leave(first)
    assert lanes.begin(make_job(slow), 9.9) is None
    assert lanes.begin(make_job(slow), 10.0) is not None
