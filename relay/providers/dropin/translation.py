"""An app's request for one provider, in the terms of another that makes its pictures.

What that one cannot express is refused in the app's own words, with one exception that changes nothing one can see: a size becomes the
aspect ratio that is exactly equal, and a ratio a size of exactly that ratio, near a megapixel. Models are each provider's own, so that of
the app gives way to the other's default, unless that has one of the name.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from relay.errors import FieldProblem, Invalid, RequestError, Unsupported
from relay.ports import ModelInfo, Parameter, Provider, TaskRequest
from relay.providers.dropin.order import Order
from relay.providers.value import value_problem

_KINDS: Final = {"width": Parameter(type="integer"), "height": Parameter(type="integer"), "aspect_ratio": Parameter(type="string")}
_SHAPE: Final = tuple(_KINDS)
_MEGAPIXEL: Final = 1024 * 1024
_STEP: Final = 32
"""Sides that are multiples of this suit every provider."""
_LONGEST_SIDE: Final = 1440
"""The most that Black Forest Labs documents, whose models are behind all of them."""
_PROBE: Final = "a"


class Translated(Struct, frozen=True, kw_only=True):
    """The request as it goes on, and what of it was put otherwise: `size`."""

    request: TaskRequest
    approximated: tuple[str, ...] = ()


def translate(order: Order, maker: Provider) -> Translated:
    """Raises Invalid for a shape that is none; Unsupported for one, or options, that `maker` has no words for. The rest its own check
    refuses."""
    _check_kinds(order.request)
    _check_options(order, maker)
    model = _model(order.request, maker)
    given = {name: value for name in order.request.__struct_fields__ if (value := getattr(order.request, name)) is not None}
    request = TaskRequest(**{**given, "provider": maker.name, "model": model.name, "options": None})
    request, approximated = _shaped(request, order.defaults, model, maker)
    return Translated(request=_with_defaults(request, order.defaults, maker), approximated=approximated)


def _check_kinds(request: TaskRequest) -> None:
    """Dialects leave the types of values to their provider's own check, which is not asked here."""
    given = ((name, kind, getattr(request, name)) for name, kind in _KINDS.items())
    found = ((name, value_problem(kind, value)) for name, kind, value in given if value is not None)
    if problems := [FieldProblem(name, message) for name, message in found if message]:
        raise Invalid(errors=problems)


def _check_options(order: Order, maker: Provider) -> None:
    left = [name for name, value in (order.request.options or {}).items() if value is not None and name not in order.idle]
    if left:
        raise Unsupported(errors=[FieldProblem(f"options.{name}", f"{maker.name}, which makes the pictures here, has no such field")
                                  for name in left])


def _model(request: TaskRequest, maker: Provider) -> ModelInfo:
    models = maker.describe().models
    return next((model for model in models if model.name == request.model), next(model for model in models if model.default))


def _shaped(request: TaskRequest, defaults: Mapping[str, Any], model: ModelInfo, maker: Provider) -> tuple[TaskRequest, tuple[str, ...]]:
    """With a shape that `maker` can express. One that the app did not ask for, but its provider's document promises, is let go of if it
    cannot."""
    if any(getattr(request, name) is not None for name in _SHAPE):
        return _expressed(request, model, maker)
    promised = {name: value for name, value in defaults.items() if name in _SHAPE}
    if not promised:
        return request, ()
    try:
        shaped, approximated = _expressed(msgspec.structs.replace(request, **promised), model, maker)
        maker.check(_alone(shaped, _SHAPE))
    except RequestError:
        return request, ()
    return shaped, approximated


def _expressed(request: TaskRequest, model: ModelInfo, maker: Provider) -> tuple[TaskRequest, tuple[str, ...]]:
    if request.width is not None and request.height is not None and "width" not in model.parameters:
        return _as_ratio(request, request.width, request.height, model, maker)
    if request.aspect_ratio is not None and "aspect_ratio" not in model.parameters and "width" in model.parameters:
        return _as_size(request, request.aspect_ratio, maker)
    return request, ()


def _as_ratio(request: TaskRequest, width: int, height: int, model: ModelInfo, maker: Provider) -> tuple[TaskRequest, tuple[str, ...]]:
    parameter = model.parameters.get("aspect_ratio", Parameter(type="string", enum=()))
    for ratio in _ratios(parameter, width, height):
        shaped = msgspec.structs.replace(request, width=None, height=None, aspect_ratio=ratio)
        if _is_taken(shaped, maker):
            return shaped, ("size",)
    ratios = ", ".join(parameter.enum or ()) or "none"
    message = f"{width}x{height} has no equal among the aspect ratios of {maker.name}, which makes the pictures here: {ratios}"
    raise Unsupported(errors=[FieldProblem("width", message), FieldProblem("height", message)])


def _ratios(parameter: Parameter, width: int, height: int) -> Iterator[str]:
    """Names of this very ratio."""
    if width <= 0 or height <= 0:
        return
    if parameter.enum is None:
        common = math.gcd(width, height)
        yield f"{width // common}:{height // common}"
        return
    for name in parameter.enum:
        sides = _sides(name)
        if sides and sides[0] * height == sides[1] * width:
            yield name


def _as_size(request: TaskRequest, ratio: str, maker: Provider) -> tuple[TaskRequest, tuple[str, ...]]:
    sides = _sides(ratio)
    for width, height in _sizes(*sides) if sides else ():
        shaped = msgspec.structs.replace(request, aspect_ratio=None, width=width, height=height)
        if _is_taken(shaped, maker):
            return shaped, ("size",)
    message = f"there is no size of exactly this ratio at {maker.name}, which makes the pictures here"
    raise Unsupported(errors=[FieldProblem("aspect_ratio", message)])


def _sizes(across: int, down: int) -> list[tuple[int, int]]:
    """All of this ratio: first those that suit everybody, each time the ones nearest to a megapixel first."""
    common = math.gcd(across, down)
    across, down = across // common, down // common
    sizes = [(across * times, down * times) for times in range(1, _LONGEST_SIDE // max(across, down) + 1)]
    return sorted(sizes, key=lambda size: (size[0] % _STEP + size[1] % _STEP > 0, abs(size[0] * size[1] - _MEGAPIXEL)))


def _sides(ratio: str) -> tuple[int, int] | None:
    across, colon, down = ratio.partition(":")
    if not colon or not (across.isdecimal() and down.isdecimal()) or len(ratio) > 9 or not (int(across) and int(down)):
        return None
    return int(across), int(down)


def _with_defaults(request: TaskRequest, defaults: Mapping[str, Any], maker: Provider) -> TaskRequest:
    """What the app's provider documents where the app says nothing, as far as `maker` can do it."""
    for name, value in defaults.items():
        if name not in _SHAPE and getattr(request, name) is None:
            wider = msgspec.structs.replace(request, **{name: value})
            request = wider if _is_taken(wider, maker, name) else request
    return request


def _is_taken(request: TaskRequest, maker: Provider, *names: str) -> bool:
    try:
        maker.check(_alone(request, names or _SHAPE))
    except RequestError:
        return False
    return True


def _alone(request: TaskRequest, names: tuple[str, ...]) -> TaskRequest:
    """With nothing but these fields, so that only they are judged."""
    return TaskRequest(provider=request.provider, model=request.model, prompt=_PROBE, **{name: getattr(request, name) for name in names})
