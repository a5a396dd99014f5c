"""A stand-in for YEScale's Flux: OpenAI's image generation, held until it is done.

Any model is taken, since the page lists none. `response_format`, which it does not name, works as OpenAI's.
"""

import asyncio
import base64
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from relay.ports import Parameter
from relay.providers.sandbox.answer import json_answer
from relay.providers.sandbox.endpoint import Cut, Endpoint
from relay.providers.sandbox.fields import STRING, check_fields, refuse_if, seed_of, whole
from relay.providers.sandbox.gallery import Gallery
from relay.providers.sandbox.intake import Intake, Plan, Workshop, bearer
from relay.providers.sandbox.job import Job
from relay.providers.sandbox.picture import Drawing, key_for, text_for
from relay.providers.sandbox.refusal import Refused
from relay.providers.yescale import rendering, wire

_NAME: Final = wire.TABLE.provider
_FIELDS: Final = {
    "prompt": Parameter(type="string", max_length=wire.MAX_PROMPT),
    "model": STRING,
    "n": Parameter(type="integer", minimum=wire.MIN_IMAGES, maximum=wire.MAX_IMAGES),
    "size": Parameter(type="string", enum=wire.SIZES),
    "response_format": Parameter(type="string", enum=wire.RESPONSE_FORMATS),
    "quality": STRING,
    "style": STRING,
    "user": STRING,
}
_BASE64: Final = "b64_json"


class StandIn:
    """YEScale."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._intake = Intake(_NAME, shop, _plan)
        self._gallery = Gallery(_NAME, f"{shop.base_url}/{_NAME}", self._intake.jobs, shop.studio, shop.clock)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"/{_NAME}{wire.PATH}", Endpoint({"POST": self._generate}, _refuse)),
            *self._gallery.routes(_refuse),
            Route(f"/{_NAME}/{{rest:path}}", Endpoint({}, _refuse)),
        ]

    async def _generate(self, request: Request) -> ASGIApp:
        ticket = await self._intake.take(request, bearer(request))
        job = await self._intake.finish(ticket)
        if job.faults.drop_answer:
            return Cut()
        made_at = job.ended_at or job.created_at
        items = await asyncio.gather(*(self._item(job, number) for number in range(len(job.drawings))))
        return json_answer(wire.Generated(created=int(made_at.timestamp()), data=items))

    async def _item(self, job: Job, number: int) -> wire.Item:
        if job.order.get("response_format") != _BASE64:
            return wire.Item(url=self._gallery.link(job, number))
        data = await self._shop.studio.file(job.drawings[number])
        return wire.Item(b64_json=base64.b64encode(data).decode())


def _plan(order: dict[str, Any]) -> Plan:
    refuse_if(check_fields(order, _FIELDS))
    prompt = order["prompt"]
    seed = seed_of({"prompt": prompt})
    width, height = (int(side) for side in (order.get("size") or wire.DEFAULT_SIZE).split("x"))
    drawings = tuple(
        Drawing(key=key_for(prompt, seed, str(number)), text=text_for(prompt), width=width, height=height, format="png")
        for number in range(whole(order, "n", wire.MIN_IMAGES)))
    return Plan(prompt=prompt, seed=seed, drawings=drawings, order={"response_format": order.get("response_format")})


def _refuse(refused: Refused) -> Response:
    status, body = rendering.refusal(refused)
    return json_answer(body, status)
