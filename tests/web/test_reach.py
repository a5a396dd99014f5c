"""Private networks for one subscription."""

import httpx
import pytest

from tests.delivery.receiver import Receiver
from tests.web.conftest import House, named_fields, problem, read_json
from tests.web.subscribing import PATH, URL, act, subscribe, verified

pytestmark = pytest.mark.anyio

INNER = "http://10.0.0.5:8123/hook"
NETWORK = {"allow_cidrs": ["10.0.0.5"]}


class TestNetworks:
    """`allow_cidrs`."""

    async def test_an_admin_opens_a_network_for_one_subscription_and_plain_http_in_it(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api, url=INNER, allow_cidrs=["10.0.0.5", "fd00::/8", "10.0.0.5/32"])

        assert made["allow_cidrs"] == ["10.0.0.5/32", "fd00::/8"]
        assert (await api.get(f"{PATH}/{made['id']}")).json()["allow_cidrs"] == made["allow_cidrs"]
        assert named_fields(await api.post(PATH, json={"url": INNER, "events": ["*"]})) == {"url"}
        assert named_fields(await api.post(PATH, json={"url": "http://10.0.0.6/", **NETWORK})) == {"url"}

    async def test_what_is_sent_arrives_there(self, api: httpx.AsyncClient) -> None:
        """The relay of these tests allows 127.0.0.0/8 and nothing else."""
        async with Receiver(host="::1") as receiver:
            inner = f"http://[::1]:{receiver.port}/hook"
            assert named_fields(await api.post(PATH, json={"url": inner})) == {"url"}
            made = await subscribe(api, url=inner, allow_cidrs=["::1/128"])
            await act(api, made, "test", status=202)
            await receiver.wait_for_requests(1)
            assert verified(receiver, made["secret"])["type"] == "ping"

    async def test_nobody_else_may(self, house: House) -> None:
        writer = await house.with_key("subscribe", "read", "submit")

        problem(await writer.post(PATH, json={"url": INNER, **NETWORK}), 403, "forbidden")
        problem(await writer.post(PATH, json={"url": URL, **NETWORK}), 403, "forbidden")
        made = await subscribe(writer)
        problem(await writer.patch(f"{PATH}/{made['id']}", json=NETWORK), 403, "forbidden")

        assert [(one["url"], one["allow_cidrs"]) for one in (await house.api.get(PATH)).json()["data"]] == [(URL, None)]

    async def test_nobody_else_says_where_in_an_open_network_it_leads(self, house: House) -> None:
        made = await subscribe(house.api, url=INNER, **NETWORK)
        writer, one = await house.with_key("subscribe", "read"), f"{PATH}/{made['id']}"

        problem(await writer.patch(one, json={"url": "http://10.0.0.5:6379/"}), 403, "forbidden")
        changed = read_json(await writer.patch(one, json={"events": ["*"], "allow_cidrs": made["allow_cidrs"], "url": INNER}), 200)

        assert (changed["url"], changed["events"], changed["allow_cidrs"]) == (INNER, ["*"], ["10.0.0.5/32"])

    async def test_a_network_that_is_needed_is_not_taken_back(self, api: httpx.AsyncClient) -> None:
        made = await subscribe(api, url=INNER, **NETWORK)
        one = f"{PATH}/{made['id']}"

        assert named_fields(await api.patch(one, json={"allow_cidrs": None})) == {"url"}
        assert read_json(await api.patch(one, json={"allow_cidrs": None, "url": URL}), 200)["allow_cidrs"] is None
