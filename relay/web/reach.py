"""Whom a subscription may reach: private networks that the operator opens for it alone, and the handshake with its receiver."""

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from relay import model
from relay.errors import Forbidden
from relay.model import Scope
from relay.net.guard import widen
from relay.ports import Caller
from relay.web.fields import refuse
from relay.web.header import opened_headers
from relay.web.parts import Web

Networks = Annotated[list[Annotated[str, Meta(max_length=50)]], Meta(min_length=1, max_length=20, description="Needs the scope admin.")]
Verify = Literal["x-hook-secret"]


def checked_networks(networks: Sequence[str] | None) -> tuple[str, ...] | None:
    """As they are written in general: `10.0.0.5` is `10.0.0.5/32`. Raises Invalid."""
    if networks is None:
        return None
    return tuple(dict.fromkeys(_checked_network(network, f"allow_cidrs.{index}") for index, network in enumerate(networks)))


def _checked_network(text: str, field: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as exc:
        raise refuse(field, "must be a network such as 10.0.0.0/8 or fd00::/8") from exc


def check_may_reach(caller: Caller, wanted: model.Subscription, before: model.Subscription | None = None) -> None:
    """Only an admin opens a private network, and only an admin says where in it an open one leads: else whoever may subscribe
    could send to every port there. Raises Forbidden."""
    known = before.allow_cidrs if before else None
    is_moved = before is not None and known is not None and wanted.url != before.url
    if (wanted.allow_cidrs != known or is_moved) and not caller.may(Scope.ADMIN):
        raise Forbidden("This key lacks the scope admin, which allow_cidrs needs; so does the url of a subscription that has them.")


async def greet(web: Web, wanted: model.Subscription, before: model.Subscription | None = None) -> None:
    """The handshake that the subscription asks for, unless its receiver agreed before. Raises Invalid if it does not agree."""
    if wanted.verify is None or (before is not None and (wanted.verify, wanted.url) == (before.verify, before.url)):
        return
    problem = await web.shake_hands(wanted.url, opened_headers(wanted, web), widen(web.policy, wanted.allow_cidrs))
    if problem:
        raise refuse("url", f"did not pass the handshake {wanted.verify}: {problem}")
