"""Waking whoever waits."""

import asyncio

import pytest

from relay.bell import Bell

pytestmark = pytest.mark.anyio


async def test_a_ring_wakes_who_waits() -> None:
    bell = Bell()
    with bell.listen("deliveries") as listener:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(listener.wait(10))
            await asyncio.sleep(0)
            bell.ring("deliveries")
        assert waiting.result() is True


async def test_a_ring_between_the_look_and_the_wait_counts() -> None:
    bell = Bell()
    with bell.listen("deliveries") as listener:
        bell.ring("deliveries")
        assert await listener.wait(0) is True


async def test_several_rings_are_one() -> None:
    bell = Bell()
    with bell.listen("deliveries") as listener:
        bell.ring("deliveries")
        bell.ring("deliveries")
        assert await listener.wait(0) is True
        assert await listener.wait(0) is False


async def test_a_ring_of_another_topic_or_before_the_registration_is_not_heard() -> None:
    bell = Bell()
    bell.ring("deliveries")
    with bell.listen("deliveries") as listener:
        bell.ring("polls")
        assert await listener.wait(0.01) is False


async def test_all_who_listen_to_a_topic_hear_it() -> None:
    bell = Bell()
    with bell.listen("task:1") as one, bell.listen("task:1") as other:
        bell.ring("task:1")
        assert await one.wait(0)
        assert await other.wait(0)


async def test_ringing_all_wakes_every_topic() -> None:
    bell = Bell()
    with bell.listen("polls") as polls, bell.listen("deliveries") as deliveries:
        bell.ring_all()
        assert await polls.wait(0)
        assert await deliveries.wait(0)


async def test_who_has_left_is_forgotten_and_the_others_are_not() -> None:
    bell = Bell()
    with bell.listen("polls") as stays:
        with bell.listen("polls") as leaves:
            pass
        bell.ring("polls")
        assert await stays.wait(0) is True
        assert await leaves.wait(0) is False


async def test_topics_leave_nothing_behind() -> None:
    bell = Bell()
    for number in range(100):
        with bell.listen(f"task:{number}"):
            pass
    assert not bell._listeners  # noqa: SLF001 -- the absence of a leak shows nowhere else
