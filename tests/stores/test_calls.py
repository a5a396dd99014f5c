"""Calls: a request that comes again takes the place of a caller that is gone, and of nobody else."""

import asyncio
from typing import Any

import msgspec
import pytest

from relay.bell import Bell
from relay.model import Key, Scope, Task
from relay.ports import Call, Repeat
from relay.ports.store import Idempotency
from tests.stores.conftest import Opener
from tests.stores.making import NOW, Shelf, after

pytestmark = pytest.mark.anyio


async def call(shelf: Shelf, fingerprint: str = "same", **given: Any) -> Task:
    """A task that was made by a call, which is attended."""
    task = shelf.task(**given)
    made = Call(task_id=task.id, fingerprint=fingerprint, native={"n": [1, "é"]})
    await shelf.store.add_task(task, due_at=NOW, call=made)
    return task


def repeat(fingerprint: str = "same", **given: Any) -> Repeat:
    return Repeat(**{"fingerprint": fingerprint, "left_since": after(minutes=-10), "taken_since": after(seconds=-10), "came_at": NOW,
                     **given})


async def test_a_call_comes_back_with_its_task(shelf: Shelf) -> None:
    task = await call(shelf)
    called = await shelf.store.called(task.id)
    assert called is not None
    assert called.task == task
    assert called.call == Call(task_id=task.id, fingerprint="same", native={"n": [1, "é"]})


async def test_a_task_that_no_drop_in_made_has_no_call(shelf: Shelf) -> None:
    assert await shelf.store.called((await shelf.add_task()).id) is None


async def test_a_repeated_key_records_no_second_call(shelf: Shelf) -> None:
    first, second = shelf.task(), shelf.task()
    for task in (first, second):
        given = await shelf.store.add_task(task, due_at=NOW, idempotency=Idempotency(key="k", fingerprint="f"),
                                           call=Call(task_id=task.id, fingerprint="same"))
        assert given[0].id == first.id
    assert await shelf.store.called(second.id) is None


async def test_a_caller_that_waits_keeps_its_place(shelf: Shelf) -> None:
    await call(shelf)
    assert await shelf.store.is_attended("same")
    assert await shelf.store.rejoin(repeat(count=9), now=NOW) is None


async def test_a_repeat_takes_the_place_of_a_caller_that_is_gone(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=False, now=NOW)
    assert not await shelf.store.is_attended("same")
    assert await shelf.store.rejoin(repeat(), now=NOW) == task
    assert await shelf.store.is_attended("same")


async def test_the_place_of_one_caller_is_taken_once(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=False, now=NOW)
    joined = await asyncio.gather(*(shelf.store.rejoin(repeat(), now=NOW) for _ in range(4)))
    assert [each for each in joined if each] == [task]


async def test_who_took_the_place_and_is_gone_too_leaves_it_free_again(shelf: Shelf) -> None:
    task = await call(shelf)
    for _ in range(2):
        await shelf.store.leave(task.id, taken=False, now=NOW)
        assert await shelf.store.rejoin(repeat(), now=NOW) == task


@pytest.mark.parametrize("turns", range(6))
async def test_who_goes_away_while_taking_a_place_leaves_it_free(shelf: Shelf, bell: Bell, turns: int) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=False, now=NOW)
    with bell.listen("call:same") as freed:
        joining = asyncio.create_task(shelf.store.rejoin(repeat(), now=NOW))
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        await asyncio.wait([joining])
        if not joining.cancelled():  # it was quicker
            await shelf.store.leave(task.id, taken=False, now=NOW)
        while (rejoined := await shelf.store.rejoin(repeat(), now=NOW)) is None:
            assert await freed.wait(5)
    assert rejoined == task


async def test_another_request_takes_no_place(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=False, now=NOW)
    assert await shelf.store.rejoin(repeat("other"), now=NOW) is None


async def test_a_place_that_was_left_long_ago_is_not_taken(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=False, now=after(minutes=-10, microseconds=-1))
    assert await shelf.store.rejoin(repeat(), now=NOW) is None
    assert await shelf.store.rejoin(repeat(left_since=after(minutes=-11)), now=NOW) == task


async def test_of_several_places_the_one_left_first_is_taken_first(shelf: Shelf) -> None:
    first, second = await call(shelf), await call(shelf)
    await shelf.store.leave(second.id, taken=False, now=after(seconds=1))
    await shelf.store.leave(first.id, taken=False, now=NOW)
    joined = [await shelf.store.rejoin(repeat(), now=after(seconds=2)) for _ in range(3)]
    assert [each and each.id for each in joined] == [first.id, second.id, None]


async def test_what_was_taken_is_given_to_nobody_else(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=True, now=NOW)
    assert await shelf.store.rejoin(repeat(), now=NOW) is None


async def test_a_client_that_says_that_it_comes_again_may_have_missed_what_was_just_sent(shelf: Shelf) -> None:
    earlier, task = await call(shelf), await call(shelf)
    await shelf.store.leave(earlier.id, taken=True, now=after(seconds=-1))
    await shelf.store.leave(task.id, taken=True, now=NOW)
    assert await shelf.store.rejoin(repeat(count=1), now=NOW) == task


async def test_what_was_sent_is_missed_as_often_as_the_client_says(shelf: Shelf) -> None:
    task = await call(shelf)
    for count in (1, 2):
        await shelf.store.leave(task.id, taken=True, now=NOW)
        assert await shelf.store.rejoin(repeat(count=count), now=NOW) == task
    await shelf.store.leave(task.id, taken=True, now=NOW)
    assert await shelf.store.rejoin(repeat(count=2), now=NOW) is None


async def test_what_was_sent_a_while_ago_was_not_missed(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=True, now=after(seconds=-10, microseconds=-1))
    assert await shelf.store.rejoin(repeat(count=1), now=NOW) is None


async def test_what_was_sent_to_another_while_the_client_waited_was_not_missed(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=True, now=after(microseconds=1))
    assert await shelf.store.rejoin(repeat(count=1), now=after(seconds=1)) is None


async def test_a_place_that_was_left_is_taken_before_one_that_was_answered(shelf: Shelf) -> None:
    answered, left = await call(shelf), await call(shelf)
    await shelf.store.leave(left.id, taken=False, now=after(seconds=-5))
    await shelf.store.leave(answered.id, taken=True, now=NOW)
    assert await shelf.store.rejoin(repeat(count=1), now=NOW) == left


async def test_the_end_of_a_call_is_its_first_one(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=True, now=NOW)
    await shelf.store.leave(task.id, taken=False, now=NOW)
    assert await shelf.store.rejoin(repeat(), now=NOW) is None


async def test_whoever_waits_for_a_place_hears_that_it_is_free(shelf: Shelf, bell: Bell) -> None:
    task = await call(shelf)
    with bell.listen("call:same") as freed:
        await shelf.store.leave(task.id, taken=False, now=NOW)
        assert await freed.wait(5)


async def test_callers_of_a_process_that_died_are_gone(opener: Opener) -> None:
    before = await opener(Bell())
    shelf = Shelf(before)
    await shelf.add_account("default")
    task = await call(shelf)
    await before.close()
    after_restart = await opener(Bell())
    await after_restart.recover()
    assert await after_restart.rejoin(repeat(), now=NOW) == task
    await after_restart.close()


async def test_an_erased_task_has_nothing_left_of_its_call_and_is_taken_by_nobody(shelf: Shelf) -> None:
    task = await call(shelf)
    await shelf.store.leave(task.id, taken=False, now=NOW)
    await shelf.store.erase_task(task.account_id, task.id, now=NOW)
    called = await shelf.store.called(task.id)
    assert called is not None
    assert called.call.native == {}
    assert await shelf.store.rejoin(repeat(), now=NOW) is None


async def test_a_call_goes_with_its_task(shelf: Shelf) -> None:
    task = await call(shelf)
    ended = await shelf.finish(task)
    await shelf.store.prune_tasks([ended.task.id], limit=100)
    assert await shelf.store.called(task.id) is None


async def test_a_key_remembers_who_makes_its_pictures(shelf: Shelf) -> None:
    key = Key(id="key_1", account_id=shelf.account_id, name="shop", hash="h", scopes=(Scope.SUBMIT,), created_at=NOW,
              via={"yescale": "kie"})
    await shelf.store.add_key(key)
    assert await shelf.store.key("h") == (key, await shelf.store.account(shelf.account_id))
    await shelf.store.add_key(msgspec.structs.replace(key, via={}))
    found = await shelf.store.key("h")
    assert found is not None
    assert found[0].via == {}
