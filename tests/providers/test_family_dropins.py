"""Serevix and APIFRAME, served: how an app's own request is read, and how a refusal is worded. The rest needs a running Relay."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec import Struct

from relay.errors import FieldProblem, Invalid
from relay.ports import Provider, TaskRequest
from relay.providers.apiframe import rendering as apiframe
from relay.providers.apiframe.dropin import read_order as read_apiframe
from relay.providers.apiframe.wire import TABLE as APIFRAME
from relay.providers.dropin.order import Order
from relay.providers.parameters import Table, native
from relay.providers.refusal import Refused, Why
from relay.providers.serevix import rendering as serevix
from relay.providers.serevix.dropin import read_order as read_serevix
from relay.providers.serevix.wire import TABLE as SEREVIX
from tests.providers.cases import PNG, Submission, new_task
from tests.providers.suite import CASES, make

WEBHOOK = {"webhook_url": "https://app.example/hook", "webhook_secret": "s3cret"}
OURS = ("provider", "prompt", "model", "callback_url", "callback_secret", "metadata")


class Dialect(Struct, frozen=True):
    """What is different between the two."""

    name: str
    table: Table
    read: Callable[[Mapping[str, Any]], Order]
    least: dict[str, Any]

    @property
    def submissions(self) -> tuple[Submission, ...]:
        """What Relay itself sends to the provider: everything that the document names is in one of them."""
        return next(case for case in CASES if case.name == self.name).submissions

    def checker(self) -> Provider:
        return make(next(case for case in CASES if case.name == self.name))


DIALECTS = {
    "serevix": Dialect("serevix", SEREVIX, lambda body: read_serevix(body, "flux-pro-1.1", is_via=False), {"prompt": "a bird"}),
    "apiframe": Dialect("apiframe", APIFRAME, read_apiframe, {"prompt": "a bird", "model": "flux-pro"}),
}
each = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


def given(request: TaskRequest) -> dict[str, Any]:
    """The fields of a request, as a task keeps them."""
    return {field: value for field in request.__struct_fields__ if field not in OURS and (value := getattr(request, field)) is not None}


def problems(dialect: Dialect, body: Mapping[str, Any]) -> list[FieldProblem]:
    with pytest.raises(Invalid) as caught:
        dialect.read(body)
    return caught.value.errors


@each
def test_what_an_app_sends_is_what_its_provider_gets(dialect: Dialect) -> None:
    for submission in dialect.submissions:
        body = {**submission.body, **WEBHOOK}
        request = dialect.read(body).request
        dialect.checker().check(request)
        assert (request.provider, request.prompt) == (dialect.name, body["prompt"])
        assert (request.callback_url, request.callback_secret) == ("https://app.example/hook", "s3cret")
        sent = native(new_task(dialect.name, model=request.model, input=given(request)), dialect.table)
        assert sent.pop("image_prompt", "").removeprefix("data:image/png;base64,") == body.get("image_prompt", "")
        assert sent == {name: value for name, value in body.items()
                        if name not in ("prompt", "model", "image_prompt", "webhook_url", "webhook_secret")}


@each
def test_unknown_fields_go_on_untouched_and_null_is_absent(dialect: Dialect) -> None:
    request = dialect.read({**dialect.least, "brand_new": {"deep": [1, None]}, "seed": None, "webhook_url": None, "other": None}).request
    assert given(request) == {"options": {"brand_new": {"deep": [1, None]}}}
    assert request.callback_url is None


@each
def test_a_picture_in_lines_is_read_like_one_in_one_line(dialect: Dialect) -> None:
    picture = PNG * 20
    lines = base64.encodebytes(picture).decode()
    assert "\n" in lines.strip()
    request = dialect.read({**dialect.least, "image_prompt": lines}).request
    assert request.image == "data:image/png;base64," + base64.b64encode(picture).decode()


@each
@pytest.mark.parametrize("picture", ["https://app.example/a.png", "data:image/webp;base64,UklGRg=="])
def test_a_picture_by_link_or_data_uri_stays_what_it_is(dialect: Dialect, picture: str) -> None:
    assert dialect.read({**dialect.least, "image_prompt": picture}).request.image == picture


@each
def test_what_is_missing_or_no_text_is_named_at_once(dialect: Dialect) -> None:
    missing = problems(dialect, {"webhook_url": 1, "webhook_secret": ["x"]})
    assert missing == [
        *(FieldProblem(name, "is required") for name in sorted(dialect.least)),
        FieldProblem("webhook_url", "must be a string"), FieldProblem("webhook_secret", "must be a string"),
    ]
    assert problems(dialect, {**dialect.least, "prompt": {"a": 1}}) == [FieldProblem("prompt", "must be a string")]


@each
@pytest.mark.parametrize("value", [1.5, "1024", True, [1024], {}], ids=str)
def test_values_of_the_wrong_type_are_left_to_the_providers_check(dialect: Dialect, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        dialect.checker().check(dialect.read({**dialect.least, "width": value, "image_prompt": 7}).request)
    assert {problem.field for problem in caught.value.errors} == {"width", "image"}


@each
@pytest.mark.parametrize(("shape", "default"), [
    ({}, {"width": 1024, "height": 768}), ({"width": 512}, {}), ({"model": "flux-pro-1.1-ultra"}, {"aspect_ratio": "16:9"}),
    ({"model": "flux-pro-1.1-ultra", "width": 512, "height": 512}, {}),
], ids=str)
def test_the_shape_that_the_provider_documents_counts_where_none_is_asked_for(dialect: Dialect, shape: dict[str, Any],
                                                                              default: dict[str, Any]) -> None:
    if dialect.name == "serevix":
        order = read_serevix({**dialect.least, **shape}, shape.get("model", "flux-pro-1.1"), is_via=True)
    else:
        order = dialect.read({**dialect.least, **shape})
    assert order.defaults == {"output_format": "jpeg" if dialect.name == "serevix" else "png", **default}


def test_of_serevix_the_path_names_the_model_whatever_the_body_says() -> None:
    request = read_serevix({"prompt": "a bird", "model": "flux-dev"}, "flux-pro-1.1", is_via=False).request
    assert (request.model, request.options) == ("flux-pro-1.1", None)


def test_what_others_can_express_of_black_forest_labs_fields_gets_its_name_where_another_makes_the_picture() -> None:
    body = {"prompt": "a bird", "aspect_ratio": "21:9", "safety_tolerance": 1, "image_prompt_strength": 0.5, "raw": True, "finetune": "x"}
    own = read_serevix(body, "flux-pro-1.1-ultra", is_via=False)
    assert given(own.request) == {"options": {name: value for name, value in body.items() if name != "prompt"}}
    other = read_serevix(body, "flux-pro-1.1-ultra", is_via=True)
    assert given(other.request) == {
        "aspect_ratio": "21:9", "safety_tolerance": 1, "image_strength": 0.5, "raw": True, "options": {"finetune": "x"}}
    assert other.defaults == {"output_format": "jpeg"}


@pytest.mark.parametrize(("given_too", "left"), [("4:3", None), ("16:9", "16:9"), (None, None), (7, 7)])
def test_a_ratio_that_only_repeats_the_size_is_let_go_of_where_another_makes_the_picture(given_too: Any, left: Any) -> None:
    body = {"prompt": "a bird", "width": 1024, "height": 768, "aspect_ratio": given_too}
    request = read_serevix(body, "flux-pro-1.1", is_via=True).request
    assert (request.width, request.height, request.aspect_ratio) == (1024, 768, left)
    assert (read_serevix(body, "flux-pro-1.1", is_via=False).request.options or {}).get("aspect_ratio") == given_too


@pytest.mark.parametrize("size", [(0, 768), (-4, 3), ("4", "3"), (4.0, 3.0), (True, True)], ids=str)
def test_a_size_that_is_none_has_no_ratio(size: tuple[Any, Any]) -> None:
    body = {"prompt": "a bird", "width": size[0], "height": size[1], "aspect_ratio": "4:3"}
    assert read_serevix(body, "flux-pro-1.1", is_via=True).request.aspect_ratio == "4:3"


@pytest.mark.parametrize("why", Why)
def test_of_serevix_every_refusal_has_a_detail(why: Why) -> None:
    status, body = serevix.refusal(Refused(why, "words"))
    assert 400 <= status < 600
    assert list(body) == ["detail"]
    assert isinstance(body["detail"], list) is (why is Why.BODY)


def test_of_serevix_a_wrong_field_is_told_with_its_place() -> None:
    wrong = [FieldProblem("model", "must be known"), FieldProblem("width", "must be a multiple of 32")]
    assert serevix.refusal(Refused(Why.FIELDS, "", wrong)) == (422, {"detail": [
        {"type": "value_error", "loc": ["path", "model"], "msg": "Value must be known"},
        {"type": "value_error", "loc": ["body", "width"], "msg": "Value must be a multiple of 32"},
    ]})


@pytest.mark.parametrize("why", Why)
def test_of_apiframe_every_refusal_has_errors_but_those_that_are_documented_without(why: Why) -> None:
    status, body = apiframe.refusal(Refused(why, "words"))
    assert 400 <= status < 600
    assert body == ({} if why in (Why.KEY, Why.BROKEN) else {"errors": [{"msg": "words"}]})


def test_of_apiframe_each_wrong_field_is_a_message() -> None:
    wrong = [FieldProblem("model", "is required"), FieldProblem("width", "must be an integer")]
    assert apiframe.refusal(Refused(Why.FIELDS, "", wrong)) == (
        400, {"errors": [{"msg": "model is required"}, {"msg": "width must be an integer"}]})
