"""Relay in the place of APIFRAME v1.

- The end always carries `status: "finished"`, which the page's example does not show: APIFRAME's own SDK waits for it.
- The account is told of because apps look at it before they submit. APIFRAME's answers do not say how many credits are left, and Relay
  keeps none of its own: where whoever makes the pictures has not said it, there are plenty, and an empty account shows when a task is
  refused for it.
- Of APIFRAME's other endpoints (Midjourney's and the like) there is none here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from relay.errors import Invalid, NotFound
from relay.model import Scope, TaskStatus
from relay.ports.call import Called
from relay.providers.apiframe.rendering import NO_TASK, WRONG_IDS, notice, refusal
from relay.providers.apiframe.wire import (
    ACCOUNT_PATH,
    FETCH_MANY_PATH,
    FETCH_PATH,
    FEWEST_FETCHED,
    HEIGHT,
    MOST_FETCHED,
    RATIO,
    SUBMIT_PATH,
    TABLE,
    ULTRA,
    WIDTH,
    Accepted,
    Account,
    Notice,
)
from relay.providers.dropin.answer import json_answer
from relay.providers.dropin.dialect import Endpoint
from relay.providers.dropin.family import NAMES, has_shape, read_request
from relay.providers.dropin.order import Order
from relay.providers.dropin.visit import Visit
from relay.providers.refusal import Refused

_FORMAT: Final = "png"
"""As the links of the page's examples end; it cannot be chosen."""
_PLENTY: Final = 1_000_000


class ApiframeDropin:
    """APIFRAME, served."""

    name = TABLE.provider
    names: Final = NAMES

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint("POST", SUBMIT_PATH, self._submit),
            Endpoint("POST", FETCH_PATH, self._fetch, needs=Scope.READ),
            Endpoint("POST", FETCH_MANY_PATH, self._fetch_many, needs=Scope.READ),
            Endpoint("GET", ACCOUNT_PATH, self._account, needs=Scope.READ),
        ]

    def refuse(self, refused: Refused) -> Response:
        status, body = refusal(refused)
        return json_answer(body, status)

    async def _submit(self, visit: Visit) -> Response:
        task = await visit.submit(read_order(await visit.json()))
        return json_answer(Accepted(task_id=task.id))

    async def _fetch(self, visit: Visit) -> Response:
        task_id = (await visit.json()).get("task_id")
        if not isinstance(task_id, str):
            raise Invalid(errors=[NO_TASK])
        try:
            found = await visit.find(task_id)
        except NotFound as exc:
            raise Invalid(errors=[NO_TASK]) from exc
        return json_answer(_told(visit, found))

    async def _fetch_many(self, visit: Visit) -> Response:
        """Tasks that are not found are left out."""
        ids = (await visit.json()).get("task_ids")
        if not isinstance(ids, list) or not FEWEST_FETCHED <= len(ids) <= MOST_FETCHED:
            raise Invalid(errors=[WRONG_IDS])
        found = await visit.find_many([task_id for task_id in ids if isinstance(task_id, str)])
        return json_answer({"tasks": [_told(visit, called) for called in found]})

    async def _account(self, visit: Visit) -> Response:
        """The address is one that reaches nobody."""
        caller = await visit.caller(Scope.READ)
        left = visit.credits_left()
        made = sum(count.count for count in await visit.counts(caller) if count.status is TaskStatus.SUCCEEDED)
        return json_answer(Account(
            email=f"{caller.account_name}@relay.invalid", credits=_PLENTY if left is None else int(left), total_images=made, plan="relay"))


def read_order(body: Mapping[str, Any]) -> Order:
    """A submission. Raises Invalid."""
    request = read_request(body, TABLE)
    shape = {} if has_shape(request) else _shape(request.model)
    return Order(request=request, defaults={"output_format": _FORMAT, **shape})


def _shape(model: str | None) -> Mapping[str, Any]:
    """Of a picture for which none is asked for."""
    return {"aspect_ratio": RATIO} if model == ULTRA else {"width": WIDTH, "height": HEIGHT}


def _told(visit: Visit, called: Called) -> Notice:
    return notice(called.task, visit.links(called.task), task_id=called.task.id)
