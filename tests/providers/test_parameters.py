"""The table that says what a model takes."""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import FieldProblem, Invalid, ProviderNotConfigured, RequestError, Unsupported
from relay.ports.provider import Parameter, TaskRequest
from relay.providers import PROVIDERS
from relay.providers.parameters import FIELDS, FLAG, IMAGE, PROMPT, SEED, Problem, Table, check, describe, native, native_name, read_native
from tests.providers.cases import new_task
from tests.providers.suite import CASES, make

TABLE = Table(
    provider="acme",
    models={
        "small": {"prompt": Parameter(type="string", max_length=10), "seed": SEED,
                  "output_format": Parameter(type="string", enum=("png", "jpeg"))},
        "large": {"prompt": PROMPT, "seed": SEED, "raw": FLAG, "image": IMAGE,
                  "width": Parameter(type="integer", minimum=64, maximum=1024, multiple_of=64),
                  "guidance": Parameter(type="number", minimum=0, maximum=1, advisory=True), "n": Parameter(type="integer", minimum=1)},
    },
    names={"output_format": ("outputFormat",), "width": ("width", "mode"), "image": ("picture",)},
    options={"quality": Parameter(type="integer", minimum=0, maximum=100), "picture": Parameter(type="string")},
)


def problems(fields: dict[str, Any], table: Table = TABLE, **options: Any) -> list[FieldProblem]:
    request = msgspec.convert({"provider": "acme", "prompt": "a bird", **fields}, TaskRequest)
    try:
        check(request, table, is_configured=True, **options)
    except (Invalid, Unsupported) as exc:
        return exc.errors
    return []


@pytest.mark.parametrize("fields", [
    {}, {"seed": 0}, {"seed": -(2**63)}, {"output_format": "png"}, {"n": 1}, {"model": "large", "n": 9, "raw": False, "width": 128},
    {"options": {"quality": 100, "seed": 7, "outputFormat": "jpeg", "quality2": None}}, {"options": {"quality": 5.0}},
    {"model": "large", "guidance": 7}, {"model": "large", "image": "HTTPS://x.example/a"},
    {"model": "large", "options": {"picture": "YQ=="}},
], ids=str)
def test_what_the_table_allows_is_good(fields: dict[str, Any]) -> None:
    assert problems(fields) == []


@pytest.mark.parametrize(("fields", "field", "message"), [
    ({"prompt": "a" * 11}, "prompt", "must be at most 10 characters, not 11"),
    ({"output_format": "gif"}, "output_format", "must be one of png, jpeg, not 'gif'"),
    ({"model": "large", "width": 100}, "width", "must be an integer from 64 to 1024 that is a multiple of 64, not 100"),
    ({"model": "large", "width": 2**64}, "width",
     "must be an integer from 64 to 1024 that is a multiple of 64, not 18446744073709551616"),
    ({"model": "large", "n": 0}, "n", "must be an integer of at least 1, not 0"),
    ({"seed": 10**40}, "seed", "must be an integer, not so large a number"),
    ({"model": "huge"}, "model", "must be one of small, large, not 'huge'"),
    ({"model": ""}, "model", "must be one of small, large, not ''"),
    ({"model": "large", "image": "YQ=="}, "image", "must be an http(s) URL or a data URI"),
    ({"raw": True}, "raw", "acme small does not take it; large does"), ({"steps": 1}, "steps", "acme does not take it"),
    ({"n": 2}, "n", "acme small does not take it; large does"),
    ({"options": {"quality": 101}}, "options.quality", "must be an integer from 0 to 100, not 101"),
    ({"options": {"quality": "best"}}, "options.quality", "must be an integer from 0 to 100, not 'best'"),
    ({"options": {"quality": True}}, "options.quality", "must be an integer from 0 to 100, not True"),
    ({"options": {"quality": 1e400}}, "options.quality", "must be an integer from 0 to 100, not inf"),
    ({"options": {"outputFormat": "gif"}}, "options.outputFormat", "must be one of png, jpeg, not 'gif'"),
    ({"options": {"raw": True}}, "options.raw", "acme small does not take it; large does"),
    ({"seed": 1, "options": {"seed": 1}}, "options.seed", "is set by the field seed, which is given too"),
    ({"output_format": "png", "options": {"outputFormat": "png"}}, "options.outputFormat",
     "is set by the field output_format, which is given too"),
    ({"output_format": "png", "options": {"output_format": "png"}}, "options.output_format",
     "is set by the field output_format, which is given too"),
    ({"model": "large", "width": 64, "options": {"mode": 1}}, "options.mode", "is set by the field width, which is given too"),
    ({"options": {"prompt": "p"}}, "options.prompt", "is set by Relay and cannot be given here"),
    ({"options": {"x\0": 1}}, "options", "keys must be valid Unicode without NUL characters"),
], ids=lambda value: str(value)[:60] if isinstance(value, dict) else "")
def test_what_it_does_not_allow_is_named_with_value_and_range(fields: dict[str, Any], field: str, message: str) -> None:
    assert problems(fields) == [FieldProblem(field, message)]


def test_a_value_nested_too_deep_cannot_be_sent() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    assert problems({"options": {"x": deep}}) == [FieldProblem("options.x", "must not be nested deeper than 32 levels")]


def test_one_field_that_cannot_be_expressed_makes_it_unsupported() -> None:
    with pytest.raises(Unsupported) as caught:
        check(TaskRequest(provider="acme", prompt=" ", raw=True, seed=2**63), TABLE, is_configured=True)
    assert [problem.field for problem in caught.value.errors] == ["prompt", "seed", "raw"]


def test_a_rule_speaks_for_fields_that_depend_on_each_other() -> None:
    def rule(request: TaskRequest, model: str) -> Iterator[Problem]:
        if request.seed is not None and model == "small":
            yield Problem("seed", "not today")

    assert problems({"seed": 1}, rule=rule) == [FieldProblem("seed", "not today")]
    assert problems({"seed": 1, "model": "large"}, rule=rule) == []
    assert [problem.field for problem in problems({"seed": 1, "model": "huge"}, rule=rule)] == ["model"]


def test_an_open_table_takes_other_models_with_the_fields_of_the_default_one() -> None:
    table = msgspec.structs.replace(TABLE, is_open=True)
    assert problems({"model": "brand-new.2_1", "output_format": "png"}, table) == []
    assert [problem.field for problem in problems({"model": "brand-new", "raw": True}, table)] == ["raw"]
    assert [problem.field for problem in problems({"model": "a/b"}, table)] == ["model"]


def test_without_a_key_everything_else_can_wait() -> None:
    with pytest.raises(ProviderNotConfigured):
        check(TaskRequest(provider="acme", prompt=""), TABLE, is_configured=False)


def test_it_is_described_as_it_is_enforced() -> None:
    info = describe(TABLE, is_configured=False, result="poll")
    assert (info.name, info.configured, info.result) == ("acme", False, "poll")
    assert [(model.name, model.default) for model in info.models] == [("small", True), ("large", False)]
    assert list(info.models[1].parameters) == ["prompt", "width", "seed", "n", "image", "guidance", "raw"]
    shown = msgspec.json.decode(msgspec.json.encode(info.models[1].parameters["guidance"]))
    assert shown == {"type": "number", "minimum": 0.0, "maximum": 1.0, "advisory": True}


def test_fields_go_out_under_their_native_names() -> None:
    small = new_task("acme", model="small", input={"output_format": "png", "n": 1, "options": {"quality": 3}})
    assert native(small, TABLE) == {"outputFormat": "png", "quality": 3}
    large = new_task("acme", model="large", input={"n": 1, "width": 64.0, "guidance": 1.0})
    sent = native(large, TABLE)
    assert sent == {"n": 1, "width": 64, "guidance": 1.0}
    assert isinstance(sent["width"], int)


def test_what_an_app_says_in_native_words_is_read_as_fields_and_options() -> None:
    body = {"prompt": "a bird", "model": "large", "webhook_url": "https://app.example/", "outputFormat": "png", "width": 64, "seed": None,
            "quality": 3, "brand_new": [1], "image": "of another meaning"}
    fields, options = read_native(body, TABLE)
    assert fields == {"output_format": "png", "width": 64}
    assert options == {"quality": 3, "brand_new": [1], "image": "of another meaning"}
    sent = native(new_task("acme", model="small", input={"output_format": "png", "options": options}), TABLE)
    assert sent == {"outputFormat": "png", **options}


def test_a_field_is_named_to_an_app_as_it_wrote_it() -> None:
    names = {field: native_name(field, TABLE) for field in ("output_format", "image", "seed", "options.quality", "prompt")}
    assert names == {"output_format": "outputFormat", "image": "picture", "seed": "seed", "options.quality": "quality", "prompt": "prompt"}


def test_every_field_of_a_request_is_normalized_or_for_relay() -> None:
    ours = {"provider", "prompt", "model", "options", "callback_url", "callback_secret", "metadata"}
    assert set(TaskRequest.__struct_fields__) == ours | set(FIELDS)


TEXTS = st.text(max_size=12) | st.sampled_from(["flux-pro", "21:9", "0:0", "1:", "16:9", "png", "https://x.example/a", "a\0", "\ud800"])
NUMBERS = st.integers() | st.floats() | st.booleans()
ANYTHING = st.recursive(st.none() | NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
                        max_leaves=6)
BY_TYPE = {int: st.integers(), float: st.floats(), bool: st.booleans(), str: TEXTS}
GIVEN = {field.name: BY_TYPE[get_args(field.type)[0]] for field in msgspec.structs.fields(TaskRequest) if field.name in FIELDS}
OPTION_KEYS = TEXTS | st.sampled_from(["size", "aspect_ratio", "quality", "width", "interval", "uploadCn"])
REQUESTS = st.fixed_dictionaries({"prompt": TEXTS}, optional={
    **GIVEN, "model": TEXTS, "options": st.dictionaries(OPTION_KEYS, ANYTHING, max_size=4),
})


@settings(max_examples=100, deadline=None)
@given(fields=REQUESTS, name=st.sampled_from(sorted(PROVIDERS)))
def test_whatever_is_asked_it_is_good_or_refused(fields: dict[str, Any], name: str) -> None:
    provider = make(next(case for case in CASES if case.name == name))
    request = TaskRequest(provider=name, **fields)
    try:
        provider.check(request)
    except RequestError as exc:
        assert exc.errors  # noqa: PT017 -- either outcome is fine
