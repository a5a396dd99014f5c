"""An app's request in the terms of another provider: what is exactly equal is put otherwise, what cannot be said is refused."""

from datetime import UTC, datetime
from typing import Any

import pytest

from relay.errors import Invalid, RequestError, Unsupported
from relay.ports import Provider, ProviderConfig, TaskRequest
from relay.providers import PROVIDERS
from relay.providers.dropin.order import Order
from relay.providers.dropin.translation import Translated, translate
from relay.providers.yescale.dropin import YescaleDropin, read_order


def provider(name: str) -> Provider:
    config = ProviderConfig(api_key="key", base_url="http://127.0.0.1:1")
    return PROVIDERS[name](config, user_agent="relay/test", clock=lambda: datetime.now(UTC))


def asked(to: str, *, defaults: dict[str, Any] | None = None, idle: frozenset[str] = frozenset(), **fields: Any) -> Translated:
    request = TaskRequest(**{"provider": "yescale", "prompt": "a lighthouse", **fields})
    return translate(Order(request=request, defaults=defaults or {}, idle=idle), provider(to))


def fields_of(translated: Translated) -> dict[str, Any]:
    request = translated.request
    return {name: value for name in ("width", "height", "aspect_ratio", "output_format", "seed", "options", "model")
            if (value := getattr(request, name)) is not None}


def openai(to: str, **body: Any) -> Translated:
    return translate(read_order({"prompt": "a lighthouse", **body}, is_via=True), provider(to))


@pytest.mark.parametrize(("size", "ratio"), [
    ((1024, 1024), "1:1"), ((512, 512), "1:1"), ((1280, 960), "4:3"), ((1024, 768), "4:3"), ((960, 1280), "3:4"), ((1024, 576), "16:9"),
    ((1344, 576), "21:9"),
])
def test_a_size_becomes_the_ratio_that_is_exactly_equal(size: tuple[int, int], ratio: str) -> None:
    translated = asked("kie", width=size[0], height=size[1])
    assert fields_of(translated) == {"aspect_ratio": ratio, "model": "flux-kontext-pro"}
    assert translated.approximated == ("size",)


@pytest.mark.parametrize("size", [(1366, 768), (768, 1366), (1024, 512), (1025, 1024), (0, 5), (-1, 1)], ids=str)
def test_a_size_without_an_equal_ratio_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(Unsupported) as refused:
        asked("kie", width=size[0], height=size[1])
    assert {problem.field for problem in refused.value.errors} == {"width", "height"}


@pytest.mark.parametrize("maker", PROVIDERS)
@pytest.mark.parametrize("shape", [
    {"width": "1024", "height": "768"}, {"width": [1], "height": {}}, {"width": 1.5, "height": True}, {"aspect_ratio": 5},
    {"aspect_ratio": ["1:1"]},
], ids=str)
def test_a_shape_that_is_none_is_refused_by_its_names_whoever_makes_the_picture(maker: str, shape: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        asked(maker, **shape)
    assert {problem.field for problem in refused.value.errors} == set(shape)


@pytest.mark.parametrize(("ratio", "size"), [("1:1", (1024, 1024)), ("16:9", (1024, 576)), ("21:9", (1344, 576)), ("3:4", (864, 1152))])
def test_a_ratio_becomes_a_size_of_exactly_that_ratio_near_a_megapixel(ratio: str, size: tuple[int, int]) -> None:
    translated = asked("serevix", aspect_ratio=ratio)
    assert fields_of(translated) == {"width": size[0], "height": size[1], "model": "flux-pro-1.1"}
    assert translated.approximated == ("size",)


def test_a_ratio_becomes_one_of_the_sizes_where_they_are_listed() -> None:
    assert fields_of(asked("yescale", provider="kie", aspect_ratio="3:4")) == {"width": 960, "height": 1280, "model": "flux-pro"}


@pytest.mark.parametrize("ratio", ["5:7", "wide", "0:1", "1:", "100000:1", "1:1:1"])
def test_a_ratio_without_an_equal_size_is_refused(ratio: str) -> None:
    with pytest.raises(Unsupported) as refused:
        asked("yescale", provider="kie", aspect_ratio=ratio)
    assert [problem.field for problem in refused.value.errors] == ["aspect_ratio"]


def test_what_both_can_say_is_said_as_it_is() -> None:
    translated = asked("segmind", width=1024, height=768, seed=7)
    assert fields_of(translated) == {"width": 1024, "height": 768, "seed": 7, "model": "flux-1.1-pro"}
    assert translated.approximated == ()


def test_a_model_stays_only_if_the_other_has_one_of_that_name() -> None:
    assert asked("kie", model="flux-kontext-max").request.model == "flux-kontext-max"
    assert asked("kie", model="dall-e-3").request.model == "flux-kontext-pro"


def test_options_are_refused_by_name_unless_they_say_nothing() -> None:
    with pytest.raises(Unsupported) as refused:
        asked("kie", options={"style": "natural", "user": "u", "nothing": None}, idle=frozenset({"user"}))
    assert [problem.field for problem in refused.value.errors] == ["options.style"]
    assert "options" not in fields_of(asked("kie", options={"user": "u"}, idle=frozenset({"user"})))


def test_what_the_apps_document_promises_is_asked_for_as_far_as_it_can_be() -> None:
    promised = {"width": 1366, "height": 768, "output_format": "png"}
    assert fields_of(asked("kie", defaults=promised)) == {"output_format": "png", "model": "flux-kontext-pro"}
    assert fields_of(asked("kie", defaults={**promised, "width": 1024})) == {
        "aspect_ratio": "4:3", "output_format": "png", "model": "flux-kontext-pro"}
    assert fields_of(asked("yescale", provider="kie", defaults={"output_format": "png"})) == {"model": "flux-pro"}


def test_what_the_app_says_goes_before_what_its_document_promises() -> None:
    assert fields_of(asked("kie", width=1024, height=1024, defaults={"width": 1024, "height": 768}))["aspect_ratio"] == "1:1"


def test_openais_square_is_one_at_kie_too() -> None:
    assert fields_of(openai("kie", quality="standard", user="u-1", style="vivid", n=1))["aspect_ratio"] == "1:1"


@pytest.mark.parametrize(("body", "field"), [
    ({"n": 2}, "n"), ({"seed": 7}, "seed"), ({"quality": "hd"}, "quality"), ({"size": "1366x768"}, "size"),
    ({"unheard_of": 1}, "unheard_of"),
], ids=str)
def test_what_kie_cannot_say_is_refused_by_the_name_that_the_app_uses(body: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as refused:
        provider("kie").check(openai("kie", **body).request)
    names = YescaleDropin().names
    assert {names.get(problem.field, problem.field.removeprefix("options.")) for problem in refused.value.errors} == {field}


def test_a_side_beside_a_size_is_refused_as_one_of_them_would_be_lost() -> None:
    with pytest.raises(Unsupported) as refused:
        openai("segmind", size="1024x1024", width=512)
    assert [problem.field for problem in refused.value.errors] == ["options.width"]


def test_fields_that_the_app_calls_as_relay_does_are_understood() -> None:
    assert fields_of(openai("apiframe", seed=7))["seed"] == 7
