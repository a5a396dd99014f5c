"""Where events may be sent, and where not one packet goes."""

# ruff: noqa: S104 -- strange addresses are the subject
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from relay.net.fetch import GuardedSession
from relay.net.guard import Policy
from tests.delivery.conformance.trial import TWICE, deliveries, told, try_one
from tests.delivery.made import make_sender
from tests.delivery.office import Office
from tests.delivery.receiver import Receiver
from tests.e2e.harness import Api
from tests.web.conftest import TASK, House, named_fields, problem, read_json, relay_in
from tests.web.subscribing import PATH, URL, act, settled, subscribe, trigger, verified

pytestmark = pytest.mark.anyio

SETTINGS = {"RELAY_ALLOW_CIDRS": "127.0.0.3/32"}
KINDS = {
    "10.1.2.3": "private", "172.16.0.1": "private", "192.168.0.1": "private", "127.0.0.1": "loopback",
    "127.255.0.1": "loopback", "::1": "loopback",
    "169.254.1.1": "link-local", "fe80::1": "link-local", "169.254.169.254": "metadata", "fd00:ec2::254": "metadata",
    "100.100.100.200": "metadata", "100.64.0.1": "carrier-grade NAT", "224.0.0.1": "multicast", "ff02::1": "multicast",
    "240.0.0.1": "reserved", "255.255.255.255": "broadcast", "0.0.0.0": "unspecified", "::": "unspecified",
    "198.18.0.1": "benchmark", "2001:2::1": "benchmark", "192.0.2.1": "documentation", "198.51.100.1": "documentation",
    "203.0.113.1": "documentation", "2001:db8::1": "documentation", "3fff::1": "documentation",
    "::ffff:10.0.0.1": "private", "::ffff:7f00:2": "loopback", "::10.0.0.1": "IPv4-compatible", "64:ff9b::10.0.0.1": "private",
    "64:ff9b::169.254.169.254": "metadata", "64:ff9b:1::1": "local NAT64", "2002:a00:1::": "6to4", "2001:0:a00:1::": "Teredo",
    "fc00::1": "ULA", "fd12::1": "ULA", "fec0::1": "site-local", "5f00::1": "SRv6", "4000::1": "reserved",
}
SPELLINGS = {
    "octal": "012.0.0.1", "octal in one": "01200000001", "hex": "0x0a.0x0.0x0.0x1", "hex in one": "0x0a000001", "integer": "167772161",
    "two parts": "10.1", "mixed": "0xa.1", "leading zeros": "010.0.0.1", "a dot behind": "10.0.0.1.", "wide digits": "\uff11\uff10.0.0.1",
    "ideographic dots": "10\u30020\u30020\u30021", "mapped in hex": "[::ffff:a00:1]", "written out": "[0:0:0:0:0:ffff:a00:1]",
    "localhost": "localhost", "below localhost": "a.LocalHost.", "percent": "%31%30.0.0.1", "a zone": "[fe80::1%25eth0]",
}


@contextmanager
def trap(host: str = "127.0.0.2", port: int = 0) -> Iterator[socket.socket]:
    """A listening socket: whoever connects, even for a moment, waits in its queue."""
    with socket.create_server((host, port)) as listening:
        listening.settimeout(0)
        yield listening


def assert_untouched(listening: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listening.accept()


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", KINDS)
async def test_a_literal_address_of_every_closed_kind_is_refused_where_it_is_named(api: httpx.AsyncClient, address: str) -> None:
    refused = await api.post(PATH, json={"url": f"https://{bracketed(address)}/hook"})

    assert named_fields(refused) == {"url"}
    assert KINDS[address] in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize("address", KINDS)
async def test_a_name_that_leads_to_any_closed_kind_is_refused_when_it_is_connected_to(office: Office, address: str) -> None:
    session = GuardedSession(lookup=lambda _host, _port: [address], keep_names=0)
    office.sender = make_sender(session, policy=Policy((ipaddress.ip_network("127.0.0.3/32"),)))
    [delivery] = await office.ping(await office.subscribe("https://inward.example/hook"))
    async with office.at_work(office.worker(schedule=(0.0, 3600.0))):
        while not (attempts := await office.attempts(delivery)):
            pass
    await session.close()

    assert attempts[0].status_code is None
    assert KINDS[address] in str(attempts[0].error)


@pytest.mark.parametrize("host", SPELLINGS.values(), ids=SPELLINGS)
async def test_odd_spellings_of_a_literal_are_refused(api: httpx.AsyncClient, host: str) -> None:
    for scheme in ("https", "http"):
        assert named_fields(await api.post(PATH, json={"url": f"{scheme}://{host}:8443/hook"})) == {"url"}


async def test_credentials_in_a_url_odd_schemes_and_forbidden_plain_http_are_refused(api: httpx.AsyncClient) -> None:
    for url in ("https://user:pass@example.com/", "https://user@example.com/", "https://@example.com/", "ftp://example.com/",
                "file:///etc/passwd", "gopher://example.com/", "//example.com/", "http://8.8.8.8/"):
        assert named_fields(await api.post(PATH, json={"url": url})) == {"url"}, url


async def test_all_this_holds_for_callback_url_too(api: httpx.AsyncClient) -> None:
    for url in ("https://10.0.0.1/", "https://0x0a000001/", "https://[::ffff:10.0.0.1]/", "https://user:pass@example.com/", "ftp://a.example/"):
        assert named_fields(await api.post("/api/v1/tasks", json={**TASK, "callback_url": url})) == {"callback_url"}, url


async def test_no_packet_reaches_a_refused_address(tmp_path: Path) -> None:
    """The operator closes a range that a subscription was made in: a listening socket there notes nobody."""
    with trap() as listening:
        url = f"http://127.0.0.2:{listening.getsockname()[1]}/hook"
        async with relay_in(tmp_path, RELAY_ALLOW_CIDRS="127.0.0.0/8") as running, Api(running.url) as api:
            subscription = await subscribe(api, url=url, retry_schedule=TWICE)
            await act(api, subscription, "pause")
            await act(api, subscription, "test", status=202)
        async with relay_in(tmp_path, RELAY_ALLOW_CIDRS="10.0.0.0/8", RELAY_ALLOW_HTTP="on") as running, Api(running.url) as api:
            await act(api, subscription, "resume")
            [delivery] = await deliveries(api, subscription_id=subscription["id"])
            await settled(api, delivery)
            tried = await told(api, subscription)
        assert_untouched(listening)

    assert (tried.standing, tried.attempt["status_code"]) == (("pending", 1), None)
    assert "127.0.0.2 is a loopback address" in tried.attempt["error"]


async def test_relay_allow_cidrs_opens_a_range_and_plain_http_in_it(api: httpx.AsyncClient) -> None:
    with trap() as listening:
        inner = f"http://127.0.0.2:{listening.getsockname()[1]}/hook"
        assert named_fields(await api.post(PATH, json={"url": inner})) == {"url"}
        assert_untouched(listening)
    async with Receiver(host="127.0.0.3") as receiver:
        assert (await try_one(api, receiver.url)).standing == ("delivered", 1)


async def test_a_subscription_may_have_networks_of_its_own_which_open_them_for_it_alone(api: httpx.AsyncClient) -> None:
    async with Receiver(host="127.0.0.2") as receiver:
        assert named_fields(await api.post(PATH, json={"url": receiver.url})) == {"url"}
        made = await subscribe(api, url=receiver.url, allow_cidrs=["127.0.0.2"])
        assert (await told(api, made)).standing == ("delivered", 1)
        assert verified(receiver, made["secret"])["type"] == "ping"
        assert named_fields(await api.post(PATH, json={"url": receiver.url, "events": ["*"]})) == {"url"}


async def test_only_an_admin_key_sets_them(house: House) -> None:
    writer = await house.with_key("subscribe", "read", "submit")
    wish = {"allow_cidrs": ["10.0.0.0/8"]}

    problem(await writer.post(PATH, json={"url": "http://10.0.0.5/hook", **wish}), 403, "forbidden")
    made = await subscribe(writer)
    problem(await writer.patch(f"{PATH}/{made['id']}", json=wish), 403, "forbidden")
    opened = read_json(await house.api.patch(f"{PATH}/{made['id']}", json={**wish, "url": "http://10.0.0.5/hook"}), 200)
    problem(await writer.patch(f"{PATH}/{made['id']}", json={"url": "http://10.0.0.5:6379/"}), 403, "forbidden")
    assert (made["url"], opened["allow_cidrs"]) == (URL, ["10.0.0.0/8"])


async def test_no_proxy_of_the_environment_is_used(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with trap("127.0.0.1") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        async with Receiver(host="127.0.0.3") as receiver:
            await subscribe(api, url=receiver.url)
            [delivery] = (await trigger(api))["deliveries"]
            assert (await settled(api, delivery))["status"] == "delivered"
            assert receiver.requests[0].target == "/hook"
        assert_untouched(proxy)
