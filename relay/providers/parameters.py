"""What a model takes: one table per provider says it, checks requests against it and describes it.

Decisions
- A field that is given and that the model does not take is Unsupported, naming the field and the models that take it; a
  value out of its range is Invalid, naming the value and the range. All problems are reported at once; as Unsupported if
  one of them is that.
- Only limits that the provider's own document states are enforced; `advisory` ones are described and passed on.
- `n: 1` asks for what everybody does, so everybody accepts it; it is not sent where `n` is not in the table.
- `options` are fields in the provider's own words. Those that the document names are checked, in the words of `options` or,
  where a normalized field has the same native name, by that field's limits; unknown ones pass. A key that Relay writes
  itself for this request is Invalid: always those in `reserved`, and the native and normalized names of a field given too.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from relay.errors import FieldProblem, Invalid, ProviderNotConfigured, Unsupported
from relay.model import Task
from relay.ports.provider import ModelInfo, Parameter, ProviderInfo, TaskRequest
from relay.providers.value import is_clean, sending_problem, shown, value_problem

FIELDS: Final = (
    "width", "height", "aspect_ratio", "seed", "n", "output_format", "image", "image_strength", "prompt_upsampling",
    "safety_tolerance", "steps", "guidance", "interval", "raw", "watermark", "translate",
)
"""The normalized fields, in the order in which they are described. `prompt` is checked apart: everybody takes it."""
IMAGE: Final = Parameter(type="string", description="an http(s) URL or a data URI")
SEED: Final = Parameter(type="integer")
PROMPT: Final = Parameter(type="string")
FLAG: Final = Parameter(type="boolean")
_MODEL_NAME: Final = re.compile(r"(?=.*[A-Za-z0-9_-])[A-Za-z0-9._-]{1,100}")


class Problem(NamedTuple):
    """One thing that is wrong with a request; `is_unsupported`: the model cannot express the field at all."""

    field: str
    message: str
    is_unsupported: bool = False


Rule = Callable[[TaskRequest, str], Iterable[Problem]]
"""What a table cannot say (fields that depend on each other): request and model -> problems."""


class Table(Struct, frozen=True, kw_only=True):
    """What one provider takes.

    `models`: model name -> normalized field (and `prompt`) -> its limits; the first model is the default one. `is_open`:
    other model names are taken too, with the fields of the default model. `names`: normalized field -> the keys that Relay
    writes in the provider's body when it is given, the first of them for the value itself; a field that is not here is
    written under its own name. `options`: the document's other native keys. `reserved`: keys that Relay writes always.
    """

    provider: str
    models: Mapping[str, Mapping[str, Parameter]]
    is_open: bool = False
    names: Mapping[str, tuple[str, ...]] = {}
    options: Mapping[str, Parameter] = {}
    reserved: frozenset[str] = frozenset({"prompt", "model", "webhook_url", "webhook_secret", "callBackUrl"})

    @property
    def default(self) -> str:
        return next(iter(self.models))

    def model(self, request: TaskRequest) -> str:
        """The model asked for, or the default one."""
        return self.default if request.model is None else request.model

    def parameters(self, model: str) -> Mapping[str, Parameter]:
        """The fields of a model; of one that is not listed, those of the default one."""
        return self.models.get(model, self.models[self.default])

    def keys(self, field: str) -> tuple[str, ...]:
        """The native keys that are written for a normalized field."""
        return self.names.get(field, (field,))


def check(request: TaskRequest, table: Table, *, is_configured: bool, rule: Rule | None = None) -> None:
    """Raises ProviderNotConfigured, Unsupported or Invalid (see the module's docstring). `rule` is asked too, but only
    about a model that is known."""
    if not is_configured:
        raise ProviderNotConfigured(errors=[FieldProblem("provider", f"{table.provider} has no key here")])
    problems = list(_problems(request, table, rule))
    errors = [FieldProblem(problem.field, problem.message) for problem in problems]
    if any(problem.is_unsupported for problem in problems):
        raise Unsupported(errors=errors)
    if errors:
        raise Invalid(errors=errors)


def describe(table: Table, *, is_configured: bool, result: Literal["callback", "poll", "response"]) -> ProviderInfo:
    """The table as `GET /api/v1/providers` shows it. `result`: how the result comes."""
    models = [ModelInfo(name=name, default=name == table.default, parameters=_in_order(parameters))
              for name, parameters in table.models.items()]
    return ProviderInfo(name=table.provider, configured=is_configured, result=result, models=models)


def native(task: Task, table: Table) -> dict[str, Any]:
    """The task's fields under their native names, `options` among them; without prompt and model. What needs more than a
    new name (a picture, a format's spelling) the client replaces. `n` is left out where the provider does not take it."""
    taken = table.parameters(task.model or table.default)
    fields = {table.keys(field)[0]: _as_sent(taken[field], value) for field, value in task.input.items()
              if field in taken and field != "prompt"}
    return {**(task.input.get("options") or {}), **fields}


def read_native(body: Mapping[str, Any], table: Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inverse of `native`: a body in the provider's own words as normalized fields, and as `options` what has no such
    field. null is absent; keys that Relay writes always are left out. Nothing is checked: `check` does that."""
    fields: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for key, value in body.items():
        if value is not None and key not in table.reserved:
            field = _field_written_as(table, key)
            (options if field is None else fields)[field or key] = value
    return fields, options


def native_name(field: str, table: Table) -> str:
    """What an app that speaks the provider's words calls a field that `check` names."""
    return field.removeprefix("options.") if field.startswith("options.") else table.keys(field)[0]


def _problems(request: TaskRequest, table: Table, rule: Rule | None) -> Iterator[Problem]:
    model = table.model(request)
    yield from _text_problems(request)
    if model not in table.models and not (table.is_open and _MODEL_NAME.fullmatch(model)):
        yield Problem("model", _model_message(table, model))
        return
    yield from _prompt_problems(request, table.parameters(model))
    yield from _field_problems(request, table, model)
    yield from _option_problems(request, table, model)
    if rule is not None:
        yield from rule(request, model)


def _model_message(table: Table, model: str) -> str:
    listed = ", ".join(table.models)
    if table.is_open:
        return f"must be 1 to 100 of letters, digits, dot, dash and underscore (such as {listed}), not {shown(model)}"
    return f"must be one of {listed}, not {shown(model)}"


def _text_problems(request: TaskRequest) -> Iterator[Problem]:
    for field in ("prompt", "model", *FIELDS):
        value = getattr(request, field)
        if isinstance(value, str) and not is_clean(value):
            yield Problem(field, "must be valid Unicode without NUL characters")


def _prompt_problems(request: TaskRequest, taken: Mapping[str, Parameter]) -> Iterator[Problem]:
    if not request.prompt.strip():
        yield Problem("prompt", "must not be empty")
        return
    longest = taken.get("prompt", PROMPT).max_length
    if longest is not None and len(request.prompt) > longest:
        yield Problem("prompt", f"must be at most {longest} characters, not {len(request.prompt)}")


def _field_problems(request: TaskRequest, table: Table, model: str) -> Iterator[Problem]:
    taken = table.parameters(model)
    for field in given_fields(request):
        value = getattr(request, field)
        if field in taken:
            message = value_problem(taken[field], value) or (_image_problem(value) if field == "image" else None)
            if message:
                yield Problem(field, message)
        elif field != "n" or value != 1:
            yield Problem(field, _unsupported_message(table, model, field), is_unsupported=True)


def given_fields(request: TaskRequest) -> list[str]:
    """The normalized fields that are given, prompt apart."""
    return [field for field in FIELDS if getattr(request, field) is not None]


def _image_problem(value: str) -> str | None:
    if value[:8].lower().startswith(("http://", "https://", "data:")):
        return None
    return "must be an http(s) URL or a data URI"


def _unsupported_message(table: Table, model: str, field: str) -> str:
    takers = [name for name, parameters in table.models.items() if field in parameters]
    if takers:
        return f"{table.provider} {model} does not take it; {', '.join(takers)} {'does' if len(takers) == 1 else 'do'}"
    if field == "n":
        return f"{table.provider} makes one picture per task: must be 1 or absent"
    return f"{table.provider} does not take it"


def _option_problems(request: TaskRequest, table: Table, model: str) -> Iterator[Problem]:
    written = {key: field for field in given_fields(request) for key in (field, *table.keys(field))}
    for key, value in (request.options or {}).items():
        name = f"options.{key}"
        if not is_clean(key):
            yield Problem("options", "keys must be valid Unicode without NUL characters")
        elif key in table.reserved:
            yield Problem(name, "is set by Relay and cannot be given here")
        elif key in written:
            yield Problem(name, f"is set by the field {written[key]}, which is given too")
        elif value is not None:
            yield from _option_value_problems(table, model, key, value)


def _option_value_problems(table: Table, model: str, key: str, value: object) -> Iterator[Problem]:
    name = f"options.{key}"
    field = _field_written_as(table, key)
    parameter = table.options.get(key)
    if parameter is None and field is not None:
        parameter = table.parameters(model).get(field)
        if parameter is None:
            yield Problem(name, _unsupported_message(table, model, field), is_unsupported=True)
            return
    message = sending_problem(value) or (value_problem(parameter, value) if parameter else None)
    if message:
        yield Problem(name, message)


def _field_written_as(table: Table, key: str) -> str | None:
    """The normalized field that some model takes and whose value goes into this native key."""
    taken = {field for parameters in table.models.values() for field in parameters if field != "prompt"}
    return next((field for field in FIELDS if field in taken and table.keys(field)[0] == key), None)


def _as_sent(parameter: Parameter, value: object) -> object:
    """A whole number goes out without a decimal point, even if it was read as a float."""
    return int(value) if parameter.type == "integer" and isinstance(value, float) and value.is_integer() else value


def _in_order(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    return {field: parameters[field] for field in ("prompt", *FIELDS) if field in parameters}
