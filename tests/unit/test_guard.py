"""What may be reached and what not: the table."""

# ruff: noqa: RUF001, S104 -- strange spellings of addresses are the subject
import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.net.guard import Policy, problem_with_url, refusal_of_address, refusal_of_connection

STRICT = Policy()
HTTP = Policy(allow_http=True)
LOCAL = Policy((ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")))
TEN = Policy((ipaddress.ip_network("10.0.0.0/8"),))

CLOSED = {
    "0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "10.0.0.1": "private", "100.64.0.1": "carrier-grade NAT",
    "100.100.100.200": "metadata", "127.0.0.1": "loopback", "127.255.255.254": "loopback", "168.63.129.16": "metadata",
    "169.254.0.1": "link-local", "169.254.170.23": "metadata", "169.254.42.42": "metadata",
    "169.254.169.254": "metadata", "169.254.170.2": "metadata", "172.16.0.1": "private",
    "172.31.255.255": "private", "192.0.0.8": "reserved", "192.0.0.192": "metadata", "192.0.2.1": "documentation",
    "192.88.99.1": "6to4", "192.168.255.1": "private", "198.18.0.1": "benchmark", "198.19.255.255": "benchmark",
    "198.51.100.1": "documentation", "203.0.113.1": "documentation", "224.0.0.1": "multicast", "239.1.2.3": "multicast",
    "240.0.0.1": "reserved", "255.255.255.255": "broadcast",
    "::": "unspecified", "::1": "loopback", "::2": "IPv4-compatible", "::8.8.8.8": "IPv4-compatible", "::ffff:10.0.0.1": "private",
    "::ffff:169.254.169.254": "metadata", "::ffff:0:10.0.0.1": "IPv4-translated", "64:ff9b::10.0.0.1": "private",
    "64:ff9b::127.0.0.1": "loopback", "64:ff9b:1::8.8.8.8": "local NAT64", "64:ff9b:2::1": "reserved", "100::1": "discard",
    "100:0:0:1::1": "dummy", "64:ff9b::169.254.169.254": "metadata", "2002:a00:1::1": "6to4", "2001:0:4136:e378::1": "Teredo",
    "::ffff:100.64.0.1": "carrier-grade NAT", "fd00:ec2::23": "metadata", "fd00:42::42": "metadata",
    "2001::1": "Teredo", "2001:2::1": "benchmark", "2001:10::1": "reserved", "2001:20::1": "reserved", "2001:db8::1": "documentation",
    "2002:808:808::1": "6to4", "3fff::1": "documentation", "5f00::1": "SRv6", "4000::1": "reserved", "fc00::1": "private",
    "fd00:ec2::254": "metadata", "fd12:3456::1": "private", "fe80::1": "link-local", "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast", "2600::1%eth0": "reserved",
}
OPEN = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450::1",
    "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
)


@pytest.mark.parametrize(("address", "why"), CLOSED.items())
def test_a_closed_address_is_refused_with_the_reason(address: str, why: str) -> None:
    refusal = refusal_of_address(ipaddress.ip_address(address), STRICT)
    assert refusal is not None
    assert why in refusal
    assert refusal.endswith(" address")


@pytest.mark.parametrize("address", OPEN)
def test_an_open_address_is_not_refused(address: str) -> None:
    assert refusal_of_address(ipaddress.ip_address(address), STRICT) is None


@settings(deadline=None)
@given(st.ip_addresses())
def test_what_is_open_is_global_to_python_too(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if refusal_of_address(address, STRICT) is None and address not in ipaddress.ip_network("64:ff9b::/96"):
        assert (mapped or address).is_global


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"])
def test_an_allowed_network_is_open_however_it_is_reached(address: str) -> None:
    assert refusal_of_address(ipaddress.ip_address(address), TEN) is None
    assert refusal_of_address(ipaddress.ip_address("127.0.0.1"), TEN) is not None


@pytest.mark.parametrize(("address", "policy", "is_open"), [
    ("8.8.8.8", STRICT, False), ("8.8.8.8", HTTP, True), ("8.8.8.8", TEN, False), ("10.0.0.1", TEN, True), ("10.0.0.1", HTTP, False),
])
def test_plain_http_needs_permission_or_an_allowed_network(address: str, policy: Policy, *, is_open: bool) -> None:
    assert (refusal_of_connection(ipaddress.ip_address(address), policy, is_plain=True) is None) is is_open


@pytest.mark.parametrize("url", [
    "https://example.com", "https://example.com/", "HTTPS://EXAMPLE.COM:8443/a/b?c=d&e=%2F#f", "https://example.com.",
    "https://a_b.example/",
    "https://bücher.example/ü?q=ü", "https://xn--bcher-kva.example/", "https://8.8.8.8/", "https://[2606:4700::1111]:443/",
    "https://intranet/",
    "https://example.com:/", "https://1password.com/", "https://0x.example/", "https://example.com/a@b",
    "https://" + "a" * 63 + ".example/",
])
def test_an_ordinary_url_is_taken(url: str) -> None:
    assert problem_with_url(url, STRICT) is None


@pytest.mark.parametrize("host", [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0x7F.0x0.0x0.0x1", "127.0.0.1.",
    "127.0.0.01", "00000177.0.0.1", "①②⑦.0.0.1", "１２７.0.0.1", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "[::1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]", "localhost", "LOCALHOST", "localhost.", "a.localhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "ｌocalhost",
    "0", "0.0.0.0", "10.0.0.1", "0x0a000001", "012.1", "169.254.169.254", "0xa9fea9fe", "2852039166", "192.168.1", "[fd00::1]",
    "[fe80::1]",
])
def test_a_private_address_is_refused_in_every_spelling(host: str) -> None:
    problem = problem_with_url(f"https://{host}/hook", STRICT)
    assert problem is not None
    assert problem.startswith("must not be reached: ")


@pytest.mark.parametrize("host", [
    "127.0.0.1%00", "%31%32%37.0.0.1", "loc%61lhost", "[::1%25eth0]", "[fe80::1%eth0]", "[::1", "::1", "[127.0.0.1]", "[v1.a]", "[]",
    "1.2.3.4.5",
    "256.1.1.1", "1.256.1.1", "4294967296", "0x100000000", "1.2.3.09", "08.1.1.1", "127..1", "example..com", ".example.com",
    "a" * 64 + ".example",
    "exa_mple-.com", "exa!mple.com", "exa*mple.com", "a.1", "example.0x7f", "." * 5, "a." * 130 + "com", "ex\u00adample.com\u200b",
    "example.com..",
])
def test_a_host_that_cannot_be_one_is_refused(host: str) -> None:
    assert problem_with_url(f"https://{host}/hook", STRICT) is not None


@pytest.mark.parametrize("host", ["134744072", "8.8.2056", "010.8.8.8", "0x8080808", "８.8.8.8"])
def test_an_odd_spelling_of_an_open_address_is_to_be_written_plainly(host: str) -> None:
    problem = problem_with_url(f"https://{host}/", STRICT)
    assert problem is not None
    assert problem.startswith(("must spell its address as 8.8.8.8",))


@pytest.mark.parametrize(("url", "words"), [
    ("", "must begin with https://"), ("example.com", "must begin with https://"), ("//example.com", "must begin with https://"),
    ("ftp://example.com", "must begin with https://"), ("file:///etc/passwd", "must begin with https://"),
    ("javascript:alert(1)", "must begin with https://"), ("gopher://127.0.0.1:70/_", "must begin with https://"),
    ("https://", "must name a host"), ("https:///path", "must name a host"), ("https:example.com", "must name a host"),
    ("https://user:pw@example.com/", "user name or password"), ("https://user@example.com/", "user name or password"),
    ("https://@example.com/", "user name or password"), ("https://example.com@127.0.0.1/", "user name or password"),
    ("https://example.com\\@127.0.0.1/", "backslashes"), ("https://exam ple.com/", "spaces"), (" https://example.com/", "spaces"),
    ("https://example.com/\n", "control characters"), ("https://example.com/\x00", "control characters"),
    ("https://example.com/\u2028", "control characters"), ("https://example.com/\ud800", "control characters"),
    ("https://example.com:0/", "port"), ("https://example.com:65536/", "ort"), ("https://example.com:http/", "ort"),
    ("https://example.com:-1/", "ort"), ("https://example.com/" + "a" * 2083, "at most 2083 characters"),
])
def test_a_url_that_is_wrong_is_refused_in_words(url: str, words: str) -> None:
    problem = problem_with_url(url, HTTP)
    assert problem is not None
    assert words in problem


@pytest.mark.parametrize(("url", "policy", "is_fine"), [
    ("http://example.com/", STRICT, False), ("http://example.com/", HTTP, True), ("http://example.com/", TEN, True),
    ("http://8.8.8.8/", STRICT, False), ("http://8.8.8.8/", TEN, False), ("http://8.8.8.8/", HTTP, True), ("http://10.0.0.1/", TEN, True),
    ("http://10.0.0.1/", HTTP, False), ("http://127.0.0.1:9/", LOCAL, True), ("http://localhost:9/", LOCAL, True),
    ("http://[::1]:9/", LOCAL, True), ("https://localhost/", LOCAL, True), ("http://localhost/", TEN, False), ("http://localhost/",
    HTTP, False),
    ("http://127.1/", LOCAL, False),
])
def test_plain_http_is_for_where_it_is_allowed(url: str, policy: Policy, *, is_fine: bool) -> None:
    assert (problem_with_url(url, policy) is None) is is_fine


@settings(deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"https?://[0-9a-fx\[\]:.%@]{1,30}(/.*)?"))
def test_any_text_is_judged_without_falling_over(text: str) -> None:
    for policy in (STRICT, LOCAL, HTTP):
        problem = problem_with_url(text, policy)
        assert problem is None or problem.startswith(("must ", "is ", "has "))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["{:d}", "0x{:x}", "0{:o}"]))
def test_an_address_as_one_number_is_judged_as_that_address(number: int, spelling: str) -> None:
    problem = problem_with_url(f"https://{spelling.format(number)}/", STRICT)
    assert problem is not None
    assert problem.startswith("must not be reached" if refusal_of_address(ipaddress.IPv4Address(number), STRICT) else "must spell")
