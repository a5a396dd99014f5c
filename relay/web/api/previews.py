"""What a subscriber would receive, without telling anybody."""

from typing import Any, Final

from msgspec import Struct
from starlette.responses import Response

from relay import model
from relay.errors import Unformattable
from relay.model import DeliveryStatus, EventType, Scope
from relay.ports import Job
from relay.signing import new_webhook_secret
from relay.web.fields import refuse
from relay.web.operation import Answer, Call, NoQuery, Operation, answer_json
from relay.web.parts import Web
from relay.web.samples import sample_event, sample_task
from relay.web.template import Format, checked_template

_SUBSCRIPTION: Final = "sub_00000000000000000000000000"


class PreviewWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As in a subscription. `type`: of which a sample is to be shown."""

    format: Format = "standard"
    template: Any = None
    type: EventType = EventType.TASK_SUCCEEDED


class Preview(Struct, frozen=True, kw_only=True):
    """A first attempt, as it would be made now. `body`: the text that is sent, byte for byte. `secret` is made up for this one answer:
    with it the signature can be verified."""

    headers: dict[str, str]
    body: str
    secret: str


async def preview_format(call: Call[NoQuery, PreviewWish]) -> Response:
    web, wish, secret = call.web, call.body, new_webhook_secret()
    subscription = model.Subscription(
        id=_SUBSCRIPTION, account_id=call.account_id, url="https://example.com/hooks/relay", format=wish.format,
        template=checked_template(web, wish.format, wish.template), sealed_secret=web.vault.seal(secret), created_at=web.clock())
    try:
        outgoing = web.prepare(_job(web, subscription, wish.type), web.clock())
    except Unformattable as exc:
        raise refuse("template" if wish.template is not None else "format", exc.message) from exc
    return answer_json(Preview(headers=dict(outgoing.headers), body=outgoing.body.decode(), secret=secret))


def _job(web: Web, subscription: model.Subscription, kind: EventType) -> Job:
    event = sample_event(kind, web.new_id("evt"), subscription.account_id, web.link, web.clock())
    delivery = model.Delivery(
        id=web.new_id("dlv"), account_id=subscription.account_id, event_id=event.id, event_type=kind, subscription_id=subscription.id,
        status=DeliveryStatus.PENDING, created_at=web.clock())
    return Job(delivery=delivery, subscription=subscription, event=event, task=sample_task(kind, subscription.account_id, event.created_at))


OPERATIONS = (
    Operation(
        method="POST", path="/api/v1/subscriptions/preview", id="previewSubscription", tag="Subscriptions",
        summary="See what would be sent", handle=preview_format,
        description="A sample event in a format, or filled into a template. In a template `{{ data.task.prompt }}` stands for what is "
                    "there in the standard format; what is in `data` may be named without it, and so may the fields of the format `flat`. "
                    "A string that is one placeholder becomes the value itself, null where there is none.",
        needs=Scope.SUBSCRIBE, body=PreviewWish,
        example={"format": "template", "template": {"text": "{{ type }}: {{ task.prompt }}", "picture": "{{ image_url }}"}},
        answers={200: Answer(means="What a subscriber would receive.", shape=Preview)},
    ),
)
