"""Blocks of addresses that are closed to all, with the kind that they are of, in words.

Sources: the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890 and what updates it), all that is not globally
reachable there; and where the clouds answer with the credentials of a machine. Those that lie inside another block stand here too,
so that a refusal says what they are. Of a refusal the first block that matches names the reason.
"""

from typing import Final

BLOCKS_V4: Final[tuple[tuple[str, str], ...]] = (
    ("169.254.169.254/32", "a cloud metadata"),
    ("169.254.170.2/32", "a cloud metadata"),
    ("169.254.170.23/32", "a cloud metadata"),
    ("169.254.42.42/32", "a cloud metadata"),
    ("100.100.100.200/32", "a cloud metadata"),
    ("192.0.0.192/32", "a cloud metadata"),
    ("168.63.129.16/32", "a cloud metadata"),
    ("0.0.0.0/8", "an unspecified"),
    ("10.0.0.0/8", "a private"),
    ("100.64.0.0/10", "a carrier-grade NAT"),
    ("127.0.0.0/8", "a loopback"),
    ("169.254.0.0/16", "a link-local"),
    ("172.16.0.0/12", "a private"),
    ("192.0.0.0/24", "a reserved"),
    ("192.0.2.0/24", "a documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "a private"),
    ("198.18.0.0/15", "a benchmark"),
    ("198.51.100.0/24", "a documentation"),
    ("203.0.113.0/24", "a documentation"),
    ("224.0.0.0/4", "a multicast"),
    ("255.255.255.255/32", "a broadcast"),
    ("240.0.0.0/4", "a reserved"),
)
BLOCKS_V6: Final[tuple[tuple[str, str], ...]] = (
    ("fd00:ec2::254/128", "a cloud metadata"),
    ("fd00:ec2::23/128", "a cloud metadata"),
    ("fd00:42::42/128", "a cloud metadata"),
    ("fd20:ce::254/128", "a cloud metadata"),
    ("::/128", "an unspecified"),
    ("::1/128", "a loopback"),
    ("::/96", "an IPv4-compatible"),
    ("::ffff:0:0:0/96", "an IPv4-translated"),
    ("64:ff9b:1::/48", "a local NAT64"),
    ("100::/64", "a discard-only"),
    ("100:0:0:1::/64", "a dummy"),
    ("2001::/32", "a Teredo"),
    ("2001:2::/48", "a benchmark"),
    ("2001::/23", "a reserved"),
    ("2001:db8::/32", "a documentation"),
    ("2002::/16", "a 6to4"),
    ("3fff::/20", "a documentation"),
    ("5f00::/16", "an SRv6"),
    ("fc00::/7", "a private (ULA)"),
    ("fe80::/10", "a link-local"),
    ("fec0::/10", "a site-local"),
    ("ff00::/8", "a multicast"),
)
