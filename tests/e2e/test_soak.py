"""The soak of tests/bench, small: receivers with every fault there is, and each delivery ends as its receiver deserves."""

import pytest

from tests.bench.soak import Size, soak, table

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("size", [
    Size(events=1500, subscriptions=40, rare=3), Size(events=700, subscriptions=40, rare=3, is_killed=True),
], ids=["in peace", "killed in the middle"])
async def test_every_delivery_ends_as_its_receiver_deserves_and_both_sides_have_counted_the_same(size: Size) -> None:
    report = await soak(size)
    assert report.problems() == [], table(report)
