"""Which addresses may be reached: pure rules, no I/O.

Two questions, asked at two moments. `problem_with_url` is asked when somebody names a URL: it refuses what can be seen to be wrong,
in words for who wrote it. `refusal_of_connection` is asked for each address at the moment of connecting, whatever name led there:
it alone keeps private networks safe, since a name can change its mind between the two.

IPv4: everything is open but the blocks of the IANA special-purpose registry and the metadata services of clouds. IPv6: only global
unicast (2000::/3) without its special blocks. An address that carries an IPv4 address to which packets really go (mapped, and
NAT64 behind 64:ff9b::/96, which is how an IPv6-only network reaches everybody) is judged by that; other tunnels are refused.

What the operator allows (`allow_cidrs`, for all or for one subscription) is open, whatever it is, and plain http is allowed inside it.
"""

import functools
import ipaddress
import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from relay.net.block import BLOCKS_V4, BLOCKS_V6

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL: Final = 2083
_LONGEST_NAME: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LARGEST_PORT: Final = 65535


class Policy(Struct, frozen=True, cache_hash=True):
    """What the operator allows: networks that are open though they are private, and plain http outside them."""

    allow_cidrs: tuple[Network, ...] = ()
    allow_http: bool = False


_REFUSED_V4: Final = tuple((IPv4Network(block), kind) for block, kind in BLOCKS_V4)
_REFUSED_V6: Final = tuple((IPv6Network(block), kind) for block, kind in BLOCKS_V6)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCALHOST: Final = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


@functools.lru_cache(maxsize=256)
def widen(policy: Policy, cidrs: tuple[str, ...] | None) -> Policy:
    """The policy with more networks open: a subscription's own."""
    if not cidrs:
        return policy
    return Policy(policy.allow_cidrs + tuple(ipaddress.ip_network(cidr) for cidr in cidrs), policy.allow_http)


def refusal_of_address(address: Address, policy: Policy) -> str | None:
    """Why this address must not be connected to, in words, or None if it may."""
    if _is_allowed(address, policy):
        return None
    real = _destination(address)
    kind = _kind(real)
    if kind is None:
        return None
    carried = "" if real == address else f" ({real})"
    return f"{address}{carried} is {kind} address"


def refusal_of_connection(address: Address, policy: Policy, *, is_plain: bool) -> str | None:
    """The same at the moment of connecting. `is_plain`: it is for plain http, which may need an allowed network."""
    refusal = refusal_of_address(address, policy)
    if refusal is None and is_plain and not policy.allow_http and not _is_allowed(address, policy):
        return f"plain http to {address} is not allowed: use https"
    return refusal


@functools.lru_cache(maxsize=4096)
def problem_with_url(url: str, policy: Policy) -> str | None:
    """What is wrong with a URL that somebody named, in words that follow on the name of the field; None if it may be tried."""
    if len(url) > LONGEST_URL:
        return f"must have at most {LONGEST_URL} characters, not {len(url)}"
    if " " in url or "\\" in url or not url.isprintable():
        return "must not contain spaces, backslashes or control characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        return f"is not a valid URL: {exc}"
    return _problem_with_parts(parts, port, policy)


def _problem_with_parts(parts: SplitResult, port: int | None, policy: Policy) -> str | None:
    if parts.scheme not in ("http", "https"):
        return "must begin with https://"
    if "@" in parts.netloc:
        return "must not contain a user name or password"
    if not parts.hostname:
        return "must name a host"
    if port is not None and not 1 <= port <= _LARGEST_PORT:
        return f"must have a port from 1 to {_LARGEST_PORT}"
    is_plain = parts.scheme == "http"
    if "[" in parts.netloc:
        return _problem_with_v6(parts.hostname, policy, is_plain=is_plain)
    return _problem_with_host(parts.hostname, policy, is_plain=is_plain)


def _problem_with_v6(host: str, policy: Policy, *, is_plain: bool) -> str | None:
    if "%" in host:
        return "must not contain an address with a zone"
    try:
        address = IPv6Address(host)
    except ValueError:
        return f"has no valid IPv6 address between the brackets: {host}"
    return _as_problem(refusal_of_connection(address, policy, is_plain=is_plain))


def _problem_with_host(host: str, policy: Policy, *, is_plain: bool) -> str | None:
    """`host` as it was written: a name, or an IPv4 address in any spelling that some resolver would take for one."""
    if "%" in host:
        return "must not contain a percent sign in its host name"
    name = _canonical_name(host)
    if name is None:
        return f"has no valid host name: {host}"
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _problem_with_v4(host, labels, policy, is_plain=is_plain)
    if name == "localhost" or name.endswith(".localhost"):
        return _problem_with_localhost(name, policy)
    if is_plain and not policy.allow_http and not policy.allow_cidrs:
        return "must be https: plain http is not allowed"
    return None


def _problem_with_v4(host: str, labels: list[str], policy: Policy, *, is_plain: bool) -> str | None:
    address = _read_v4(labels)
    if address is None:
        return f"has no valid host name or address: {host}"
    problem = _as_problem(refusal_of_connection(address, policy, is_plain=is_plain))
    if problem is None and host != str(address):
        return f"must spell its address as {address}"
    return problem


def _problem_with_localhost(name: str, policy: Policy) -> str | None:
    if any(refusal_of_address(address, policy) is None for address in _LOCALHOST):
        return None
    return _as_problem(f"{name} is a loopback address")


def _as_problem(refusal: str | None) -> str | None:
    return f"must not be reached: {refusal}" if refusal else None


def _canonical_name(host: str) -> str | None:
    """The name as it would be looked up: compatibility forms folded, IDNA-encoded, without the dot of the root. None if invalid."""
    folded = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower()
    try:
        name = folded.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return None
    is_valid = 0 < len(name) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))
    return name if is_valid else None


def _read_v4(labels: list[str]) -> IPv4Address | None:
    """An IPv4 address as inet_aton reads it: one to four numbers, decimal, octal (0…) or hexadecimal (0x…), of which the last fills
    all the bytes that are left."""
    if len(labels) > 4 or not all(_NUMBER.fullmatch(label) for label in labels):
        return None
    try:
        *heads, tail = (_read_number(label) for label in labels)
    except ValueError:
        return None
    if any(head > 255 for head in heads) or tail >= 256 ** (4 - len(heads)):
        return None
    return IPv4Address(sum(head << 8 * (3 - place) for place, head in enumerate(heads)) + tail)


def _read_number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") else 10)


def _is_allowed(address: Address, policy: Policy) -> bool:
    candidates = {address, _destination(address)}
    return any(each in network for network in policy.allow_cidrs for each in candidates if each.version == network.version)


def _destination(address: Address) -> Address:
    """Where packets to `address` end up: the IPv4 address that it carries, else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _kind(address: Address) -> str | None:
    """The kind of an address that is closed to all, with its article."""
    if isinstance(address, IPv4Address):
        return next((kind for block, kind in _REFUSED_V4 if address in block), None)
    kind = next((kind for block, kind in _REFUSED_V6 if address in block), None)
    if kind is None and (address.scope_id or address not in _GLOBAL_UNICAST):
        return "a reserved"
    return kind


def read_address(text: str) -> Address:
    """An address as the system writes it, zone and all. Raises ValueError."""
    return ipaddress.ip_address(text)
