"""Signatures `v1a` and their key pairs."""

import httpx
import pytest

from tests.delivery.receiver import Receiver
from tests.web.conftest import read_json
from tests.web.subscribing import PATH, act, subscribe, tokens, verified, verifies

pytestmark = pytest.mark.anyio


async def test_a_subscription_without_v1a_has_no_public_key(api: httpx.AsyncClient) -> None:
    made = await subscribe(api)

    assert (made["signatures"], made["public_key"]) == (["v1"], None)


async def test_v1a_alone_is_signed_with_the_key_pair_alone(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        made = await subscribe(api, url=receiver.url, signatures=["v1a"])
        other = await subscribe(api, url=f"{receiver.url}/other", signatures=["v1a"])
        await act(api, made, "test", status=202)
        [request] = await receiver.wait_for_requests(1)

        assert [version for version, _ in tokens(request)] == ["v1a"]
        assert verifies(request, made["public_key"])
        assert not verifies(request, other["public_key"])


async def test_a_key_pair_comes_with_the_wish_for_it_and_comes_back_as_it_was(api: httpx.AsyncClient) -> None:
    made = await subscribe(api)
    one = f"{PATH}/{made['id']}"

    asked = read_json(await api.patch(one, json={"signatures": ["v1", "v1a"]}), 200)
    dropped = read_json(await api.patch(one, json={"signatures": ["v1"]}), 200)
    again = read_json(await api.patch(one, json={"signatures": ["v1a"]}), 200)

    assert asked["public_key"]
    assert dropped["public_key"] == again["public_key"] == asked["public_key"]


async def test_a_rotation_changes_the_key_pair_too_and_the_old_one_signs_beside_it(api: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        made = await subscribe(api, url=receiver.url, signatures=["v1", "v1a"])

        rotated = await act(api, made, "rotate-secret")
        await act(api, made, "test", status=202)
        [request] = await receiver.wait_for_requests(1)

        assert rotated["public_key"] != made["public_key"]
        assert [version for version, _ in tokens(request)] == ["v1", "v1", "v1a", "v1a"]
        assert verifies(request, made["public_key"])
        assert verifies(request, rotated["public_key"])
        assert verified(receiver, made["secret"]) == verified(receiver, rotated["secret"])


async def test_rotating_to_the_secret_in_force_leaves_the_key_pair(api: httpx.AsyncClient) -> None:
    made = await subscribe(api, signatures=["v1a"])

    rotated = await act(api, made, "rotate-secret", {"secret": made["secret"]})

    assert rotated["public_key"] == made["public_key"]
