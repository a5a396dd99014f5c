"""From an app's order to a task: a new one, or that of the same request whose caller is gone.

What makes a request the same: the key, the path, all that was asked (not how it was written), and the Idempotency-Key, if there is one.
A client that says that it comes again (`x-stainless-retry-count`) knows of a broken connection earlier than anybody here, and of an answer
that was sent and never came. While a caller of the same request seems to be there, that is who may be gone: it is waited for that this
shows. Only then the client is given what was sent, which may have reached another that asked for the same.
"""

import asyncio
import hashlib
import re
from datetime import timedelta
from typing import Final

import msgspec
from msgspec import Struct
from starlette.requests import Request

from relay.errors import FieldProblem, Invalid
from relay.model import Task
from relay.ports import Caller, Errand, Repeat, TaskRequest
from relay.providers.dropin.house import House
from relay.providers.dropin.line import Line
from relay.providers.dropin.order import Order
from relay.providers.dropin.translation import Translated, translate

_LEFT: Final = timedelta(minutes=10)
_TAKEN: Final = timedelta(seconds=30)
_MOST_RETRIES: Final = 100
_RETRY_COUNT: Final = "x-stainless-retry-count"
_CALLBACK: Final = "x-relay-callback"
_IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_SECRET: Final = re.compile(r"[\x21-\x7e]{1,256}")
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")


class Entered(Struct, frozen=True, kw_only=True):
    """`approximated`: what of the order was put otherwise for who makes it."""

    task: Task
    approximated: tuple[str, ...] = ()


async def enter(house: House, line: Line, caller: Caller, order: Order, request: Request, *, name: str, maker: str) -> Entered:
    """`name`: the drop-in; `maker`: who makes the pictures. A client that goes away ends the wait for the place of another, but not the
    recording of a task: half of that would be paid twice. Raises RequestError, ClientDisconnect."""
    order = _with_callback(order, request)
    key = _idempotency_key(request)
    fingerprint = _fingerprint(caller, name, request.scope["path"], order, key)
    translated = Translated(request=order.request) if maker == name else translate(order, house.providers[maker])
    task = None if key else await line.while_there(_rejoin(house, request, name, fingerprint))
    if task is None:
        errand = Errand(dropin=name, fingerprint=fingerprint, native=order.native)
        submitted = await house.tasks.submit(caller, translated.request, idempotency_key=key, fingerprint=fingerprint, errand=errand)
        task = submitted.task
    return Entered(task=task, approximated=translated.approximated)


async def _rejoin(house: House, request: Request, name: str, fingerprint: str) -> Task | None:
    count = _retry_count(request)
    until = asyncio.get_running_loop().time() + (house.settling if count else 0.0)
    came_at = house.clock()
    repeat = Repeat(fingerprint=fingerprint, left_since=came_at - _LEFT, count=count, taken_since=came_at - _TAKEN, came_at=came_at)
    left_ones = msgspec.structs.replace(repeat, count=0)
    with house.bell.listen(f"call:{fingerprint}") as freed:
        while True:
            patience = until - asyncio.get_running_loop().time()
            is_last = patience <= 0 or house.stopping.is_set() or not await house.store.is_attended(fingerprint)
            task = await house.store.rejoin(repeat if is_last else left_ones, now=house.clock())
            if task is not None:
                house.meter.count("relay_dropin_rejoins_total", dropin=name)
            if task is not None or is_last:
                return task
            await freed.wait(patience)


def _with_callback(order: Order, request: Request) -> Order:
    """The header stands in for a field of the body, for those whose API has none."""
    wish = order.request
    if wish.callback_url is None:
        wish = msgspec.structs.replace(wish, callback_url=request.headers.get(_CALLBACK))
    if wish.callback_secret is not None and not _SECRET.fullmatch(wish.callback_secret):
        raise Invalid(errors=[FieldProblem("callback_secret", "must be 1 to 256 visible ASCII characters")])
    return msgspec.structs.replace(order, request=wish)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get(_IDEMPOTENCY_KEY)
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid(errors=[FieldProblem(_IDEMPOTENCY_KEY, "must be 1 to 255 printable ASCII characters")])
    return key


def _retry_count(request: Request) -> int:
    written = request.headers.get(_RETRY_COUNT, "")
    return min(int(written), _MOST_RETRIES) if re.fullmatch(r"[0-9]{1,4}", written) else 0


def _fingerprint(caller: Caller, name: str, path: str, order: Order, key: str | None) -> str:
    what: list[TaskRequest | object] = [caller.account_id, caller.key_id, name, path, order.request, order.native, key]
    return hashlib.sha256(msgspec.json.encode(what, order="sorted")).hexdigest()
