"""No operation that needs a key answers without one."""

import re

import pytest

from relay.web.operation import Operation
from relay.web.operations import OPERATIONS
from tests.web.conftest import House, problem

pytestmark = pytest.mark.anyio

LOCKED = [operation for operation in OPERATIONS if not operation.is_open]


@pytest.mark.parametrize("operation", LOCKED, ids=lambda operation: operation.id)
@pytest.mark.parametrize("key", [None, "Bearer rly_" + "x" * 40, "Bearer nonsense"], ids=["absent", "unknown", "malformed"])
async def test_without_a_good_key_it_is_401(house: House, operation: Operation, key: str | None) -> None:
    path = re.sub(r"\{\w+\}", "any", operation.path)
    headers = {"authorization": key} if key else {}
    problem(await house.stranger.request(operation.method, path, headers=headers), 401, "unauthorized")
