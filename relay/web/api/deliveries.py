"""Deliveries: what was sent to whom, how each attempt went, and once more by hand."""

from typing import Final

from starlette.responses import Response

from relay.errors import Conflict, NotFound
from relay.model import DeliveryStatus, EventType, Scope
from relay.ports import DeliveryFilter
from relay.web.listing import ListQuery, Text, When
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.shapes import Attempts, Delivery, attempt_view, delivery_view, page_of

_PATH: Final = "/api/v1/deliveries"
_ONE: Final = f"{_PATH}/{{delivery_id}}"
_TAG: Final = "Deliveries"


class DeliveriesQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All given filters must match; `since` is inclusive."""

    status: DeliveryStatus | None = None
    subscription_id: Text | None = None
    task_id: Text | None = None
    event_type: EventType | None = None
    since: When | None = None


async def list_deliveries(call: Call[DeliveriesQuery, NoBody]) -> Response:
    asked = call.query
    which = DeliveryFilter(status=asked.status, subscription_id=asked.subscription_id, task_id=asked.task_id,
                           event_type=asked.event_type, since=asked.since)
    page = await call.web.store.deliveries(call.account_id, which, limit=asked.limit, cursor=asked.cursor)
    return answer_json(page_of(page, delivery_view))


async def show_delivery(call: Call[NoQuery, NoBody]) -> Response:
    delivery = await call.web.store.delivery(call.account_id, call.id_of("delivery_id"))
    if delivery is None:
        raise NotFound("There is no such delivery.")
    return answer_json(delivery_view(delivery))


async def list_attempts(call: Call[NoQuery, NoBody]) -> Response:
    delivery_id = call.id_of("delivery_id")
    if await call.web.store.delivery(call.account_id, delivery_id) is None:
        raise NotFound("There is no such delivery.")
    attempts = await call.web.store.attempts(call.account_id, delivery_id)
    return answer_json(Attempts(data=[attempt_view(attempt) for attempt in attempts]))


async def retry_delivery(call: Call[NoQuery, NoBody]) -> Response:
    delivery = await call.web.store.retry_delivery(call.account_id, call.id_of("delivery_id"), now=call.web.clock())
    if delivery is None:
        raise NotFound("There is no such delivery.")
    return answer_json(delivery_view(delivery), 202)


OPERATIONS = (
    Operation(
        method="GET", path=_PATH, id="listDeliveries", tag=_TAG, summary="What was sent to whom", handle=list_deliveries,
        needs=Scope.READ, query=DeliveriesQuery, answers={200: Answer(means="Newest first.", shape=Delivery, is_page=True)},
    ),
    Operation(
        method="GET", path=_ONE, id="getDelivery", tag=_TAG, summary="One delivery", handle=show_delivery,
        needs=Scope.READ, answers={200: Answer(means="The delivery.", shape=Delivery)},
    ),
    Operation(
        method="GET", path=f"{_ONE}/attempts", id="listAttempts", tag=_TAG, summary="How each attempt went", handle=list_attempts,
        needs=Scope.READ, answers={200: Answer(means="Oldest first, all of them.", shape=Attempts)},
    ),
    Operation(
        method="POST", path=f"{_ONE}/retry", id="retryDelivery", tag=_TAG, summary="Send it once more", handle=retry_delivery,
        description="At once, whatever its status. 409 if its subscription is deleted, its task was erased, or an attempt is under way.",
        needs=Scope.SUBSCRIBE, problems=(Conflict,), answers={202: Answer(means="The delivery, due now.", shape=Delivery)},
    ),
)
