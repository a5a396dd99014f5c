"""Events: what was told, samples of it, and telling it by hand."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from starlette.responses import Response

from relay import model
from relay.errors import Conflict, NotFound
from relay.model import EventType, Scope
from relay.ports import EventFilter
from relay.web.listing import Limit, ListQuery, Text
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.samples import sample_event
from relay.web.shapes import Delivery, Event, EventKind, FlatSample, Sample, Triggered, delivery_view, event_view, page_of

_PATH: Final = "/api/v1/events"
_ONE: Final = f"{_PATH}/{{event_id}}"
_TAG: Final = "Events"
_MOST_CANNED: Final = 3


class EventsQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All given filters must match."""

    type: EventType | None = None
    task_id: Text | None = None


class SamplesQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which type, how many at most, and in which format."""

    type: EventType = EventType.TASK_SUCCEEDED
    limit: Limit = 3
    format: Literal["standard", "flat"] = "standard"


class Recipient(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom the event is to go."""

    subscription_id: Annotated[str, Meta(min_length=1, max_length=100)]


class Trigger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which type a sample is to be told."""

    type: EventType


async def list_events(call: Call[EventsQuery, NoBody]) -> Response:
    asked = call.query
    which = EventFilter(type=asked.type, task_id=asked.task_id)
    page = await call.web.store.events(call.account_id, which, limit=asked.limit, cursor=asked.cursor)
    return answer_json(page_of(page, event_view))


async def show_event(call: Call[NoQuery, NoBody]) -> Response:
    return answer_json(event_view(await _find_event(call)))


async def list_types(_call: Call[NoQuery, NoBody]) -> Response:
    return answer_json([EventKind(name=kind, label=_label(kind), value=kind) for kind in EventType])


async def list_samples(call: Call[SamplesQuery, NoBody]) -> Response:
    """Made from the frozen bodies as a delivery is, so that a sample cannot differ from what is sent."""
    asked = call.query
    page = await call.web.store.events(call.account_id, EventFilter(type=asked.type), limit=asked.limit)
    events = [event for event in page.data if event.body] or _canned(call)
    bodies = [call.web.formats.format(asked.format, event).body for event in events]
    return Response(b"[" + b",".join(bodies) + b"]", media_type="application/json")


async def trigger_event(call: Call[NoQuery, Trigger]) -> Response:
    web = call.web
    event = sample_event(call.body.type, web.new_id("evt"), call.account_id, web.link, web.clock())
    deliveries = await web.store.add_event(event)
    told = Triggered(id=event.id, event=event_view(event), deliveries=[delivery_view(delivery) for delivery in deliveries])
    return answer_json(told, 202)


async def deliver_event(call: Call[NoQuery, Recipient]) -> Response:
    web, event = call.web, await _find_event(call)
    if not event.body:
        raise Conflict("What this event said was erased with its task.")
    delivery = await web.store.add_delivery(call.account_id, event.id, call.body.subscription_id, now=web.clock())
    if delivery is None:
        raise NotFound("There is no such subscription.")
    return answer_json(delivery_view(delivery), 202)


async def _find_event(call: Call[NoQuery, NoBody] | Call[NoQuery, Recipient]) -> model.Event:
    event = await call.web.store.event(call.account_id, call.id_of("event_id"))
    if event is None:
        raise NotFound("There is no such event.")
    return event


def _canned(call: Call[SamplesQuery, NoBody]) -> list[model.Event]:
    """With ids that stay the same, so that whoever polls for samples sees nothing new in them."""
    asked, web = call.query, call.web
    return [sample_event(asked.type, f"evt_{number:026}", call.account_id, web.link, web.clock())
            for number in range(min(asked.limit, _MOST_CANNED), 0, -1)]


def _label(kind: EventType) -> str:
    return kind.replace(".", " ").replace("_", " ").capitalize()


OPERATIONS = (
    Operation(
        method="GET", path=_PATH, id="listEvents", tag=_TAG, summary="What was told", handle=list_events,
        needs=Scope.READ, query=EventsQuery, answers={200: Answer(means="Newest first.", shape=Event, is_page=True)},
    ),
    Operation(
        method="POST", path=_PATH, id="triggerEvent", tag=_TAG, summary="Tell a sample", handle=trigger_event,
        description="A realistic event goes the whole way to every subscription that asks for its type.",
        needs=Scope.SUBSCRIBE, body=Trigger, example={"type": "task.succeeded"},
        answers={202: Answer(means="The event, and its deliveries.", shape=Triggered)},
    ),
    Operation(
        method="GET", path=f"{_PATH}/types", id="listEventTypes", tag=_TAG, summary="All types", handle=list_types,
        answers={200: Answer(means="An array, fit for a drop-down.", shape=EventKind, is_array=True)},
    ),
    Operation(
        method="GET", path=f"{_PATH}/samples", id="listEventSamples", tag=_TAG, summary="What a subscriber receives", handle=list_samples,
        description="The newest events of this type; made-up ones as long as there are none.",
        needs=Scope.READ, query=SamplesQuery, answers={
            200: Answer(means="A bare array, newest first.", shape=Sample, or_shape=FlatSample, is_array=True)},
    ),
    Operation(
        method="GET", path=_ONE, id="getEvent", tag=_TAG, summary="One event", handle=show_event,
        needs=Scope.READ, answers={200: Answer(means="The event.", shape=Event)},
    ),
    Operation(
        method="POST", path=f"{_ONE}/deliver", id="deliverEvent", tag=_TAG, summary="Tell it to one subscription", handle=deliver_event,
        description="Whatever its filters say, and even if it was told already; held while it is not active. 409 if its task was erased.",
        needs=Scope.SUBSCRIBE, body=Recipient, problems=(Conflict,), example={"subscription_id": "sub_01jb2m5x8n4q7r9t3v6w0y2z5b"},
        answers={202: Answer(means="The delivery.", shape=Delivery)},
    ),
)
