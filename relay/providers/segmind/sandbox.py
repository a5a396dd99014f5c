"""A stand-in for Segmind's Flux 1.1 Pro: one call, whose answer is the picture.

JSON and forms are taken; in both, numbers and booleans may come as text. Credits are those of one account, whatever the key.
"""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from relay.errors import FieldProblem
from relay.providers.sandbox.endpoint import Cut, Endpoint
from relay.providers.sandbox.fields import SEED, check_fields, refuse_if, whole
from relay.providers.sandbox.intake import Intake, Plan, Workshop
from relay.providers.sandbox.job import Job
from relay.providers.sandbox.picture import Drawing, Format, key_for, size_for_ratio, text_for
from relay.providers.sandbox.reading import media_type, read_body, read_form, read_json
from relay.providers.sandbox.refusal import Refused, Why
from relay.providers.segmind import wire
from relay.providers.segmind.rendering import refusal_of
from relay.providers.value import loosened

_NAME: Final = wire.TABLE.provider
_FIELDS: Final = {**wire.FIELDS, "seed": SEED}
_STEEPEST: Final = 4
_FORMATS: Final[dict[str, Format]] = {"webp": "webp", "jpg": "jpeg", "png": "png"}
_PRICE: Final = 0.04
_CREDITS: Final = 1000.0


class StandIn:
    """Segmind."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._intake = Intake(_NAME, shop, _plan, read=_read)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"/{_NAME}{wire.PATH}", Endpoint({"POST": self._generate}, _refuse)),
            Route(f"/{_NAME}/{{rest:path}}", Endpoint({}, _refuse)),
        ]

    async def _generate(self, request: Request) -> ASGIApp:
        ticket = await self._intake.take(request, request.headers.get(wire.KEY_HEADER, ""))
        job = await self._intake.finish(ticket)
        return Cut() if job.faults.drop_answer else await self._picture(job)

    async def _picture(self, job: Job) -> Response:
        drawing = job.drawings[0]
        headers = {
            wire.CREDITS_HEADER: self._credits(), wire.REQUEST_ID_HEADER: job.id, wire.COST_HEADER: str(_PRICE),
            wire.TIME_HEADER: f"{job.duration:.3f}", wire.SEED_HEADER: str(job.seed),
        }
        return Response(await self._shop.studio.file(drawing), media_type=drawing.content_type, headers=headers)

    def _credits(self) -> str:
        return f"{max(0.0, _CREDITS - _PRICE * self._shop.ledger.billed(_NAME)):.2f}"


def _refuse(refused: Refused) -> Response:
    status, body, media_type, headers = refusal_of(refused)
    return Response(body, status, headers, media_type)


async def _read(request: Request, seconds: float) -> dict[str, Any]:
    kind = media_type(request)
    body = await read_body(request, seconds)
    if kind == "application/json":
        return loosened(read_json(body), _FIELDS)
    if kind == "multipart/form-data":
        return loosened(await read_form(request.headers["content-type"], body), _FIELDS)
    raise Refused(Why.MEDIA, "Invalid content type")


def _plan(order: dict[str, Any]) -> Plan:
    refuse_if(check_fields(order, _FIELDS))
    prompt, seed = order["prompt"], whole(order, "seed", wire.DEFAULT_SEED)
    width, height = _size(order)
    drawing = Drawing(
        key=key_for(prompt, seed), text=text_for(prompt), width=width, height=height,
        format=_FORMATS[order.get("output_format") or wire.DEFAULT_OUTPUT_FORMAT],
        quality=whole(order, "output_quality", wire.DEFAULT_QUALITY),
    )
    return Plan(prompt=prompt, seed=seed, drawings=(drawing,))


def _size(order: dict[str, Any]) -> tuple[int, int]:
    """Sides count only with the ratio `custom`, and are rounded to a multiple of 16."""
    ratio = order.get("aspect_ratio") or wire.DEFAULT_ASPECT_RATIO
    if ratio == wire.CUSTOM:
        return _rounded(whole(order, "width", wire.DEFAULT_SIDE)), _rounded(whole(order, "height", wire.DEFAULT_SIDE))
    across, down = (int(part) for part in ratio.split(":"))
    if not 1 / _STEEPEST <= across / down <= _STEEPEST:
        refuse_if([FieldProblem("aspect_ratio", f"must be between {_STEEPEST}:1 and 1:{_STEEPEST}")])
    return size_for_ratio(ratio)


def _rounded(side: int) -> int:
    return (side + wire.SIDE_STEP // 2) // wire.SIDE_STEP * wire.SIDE_STEP
