"""Bodies that subscribers write themselves."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.delivery.formats.template import LARGEST_BODY_BYTES, LARGEST_TEMPLATE_BYTES, read_template
from relay.errors import Unformattable
from relay.model import EventType
from tests.delivery.made import make_task
from tests.delivery.telling import FORMATTER, HOSTILE, URL, ping, succeeded, tell, told

METADATA = {"order": "A-17", "paid": True, "a.b": "dotted", "größe": "größer"}


def filled(text: Any, prompt: str = "a lighthouse") -> Any:
    """What becomes of one string of a template."""
    return told("template", succeeded(URL, URL + "2", prompt=prompt, metadata=METADATA), {"x": text})["x"]


@pytest.mark.parametrize(("text", "value"), [
    ("{{ type }}", "task.succeeded"), ("{{type}}", "task.succeeded"), ("{{\tdata.task.prompt\n}}", "a lighthouse"),
    ("{{ timestamp }}", "2026-11-20T12:00:00Z"), ("{{ data.task.images.0.url }}", URL), ("{{ data.task.images.1.url }}", URL + "2"),
    ("{{ task.prompt }}", "a lighthouse"), ("{{ prompt }}", "a lighthouse"), ("{{ image_url }}", URL),
    ("{{ image_urls }}", [URL, URL + "2"]),
    ("{{ data.task.metadata.paid }}", True), ("{{ metadata_order }}", "A-17"), ("{{ data.task.metadata.a.b }}", "dotted"),
    ("{{ metadata_a.b }}", "dotted"), ("{{ data.task.metadata.größe }}", "größer"), ("{{ data.task.input }}", {}),
    ("nothing to fill in", "nothing to fill in"), ("", ""), ("{ not } one }}", "{ not } one }}"),
], ids=str)
def test_a_string_that_is_one_placeholder_becomes_the_value(text: str, value: Any) -> None:
    assert filled(text) == value


@pytest.mark.parametrize("path", [
    "nothing", "data.nothing.at.all", "data.task.images.7.url", "data.task.images.-1.url", "data.task.images.x",
    "data.task.prompt.length", "data.task.cost", "data.task.images.0.url.0", "data.task.images.9999999999999",
])
def test_a_path_that_leads_nowhere_is_null_and_inside_a_text_nothing(path: str) -> None:
    assert filled(f"{{{{ {path} }}}}") is None
    assert filled(f"<{{{{ {path} }}}}>") == "<>"


@pytest.mark.parametrize(("text", "value"), [
    ("{{ type }}: {{ task.prompt }}", "task.succeeded: a lighthouse"), ("paid: {{ metadata_paid }}", "paid: true"),
    ("{{ data.task.metadata }}!", '{"order":"A-17","paid":true,"a.b":"dotted","größe":"größer"}!'), (" {{ type }}", " task.succeeded"),
    ("{{ type }}{{ type }}", "task.succeededtask.succeeded"), ("{{{ type }}}", "{task.succeeded}"),
])
def test_inside_a_longer_text_a_value_is_text(text: str, value: str) -> None:
    assert filled(text) == value


def test_everything_but_strings_stays_as_it_is() -> None:
    template = {"a": [1, 2.5, None, True, {"b": ["{{ type }}", []]}], "{ c }": {}}
    assert told("template", ping(), template) == {"a": [1, 2.5, None, True, {"b": ["ping", []]}], "{ c }": {}}


def test_an_array_may_be_the_body() -> None:
    message = FORMATTER.format("template", ping(), template=["{{ type }}"])
    assert (message.body, message.content_type) == (b'["ping"]', "application/json")


@pytest.mark.parametrize("prompt", HOSTILE.values(), ids=HOSTILE)
def test_a_prompt_cannot_change_the_shape(prompt: str) -> None:
    assert filled("{{ data.task.prompt }}", prompt) == prompt
    assert filled("say: {{ data.task.prompt }}", prompt) == f"say: {prompt}"


def test_what_was_filled_in_is_not_filled_in_again() -> None:
    assert filled("> {{ task.prompt }}", "{{ id }} {{ task.prompt }}") == "> {{ id }} {{ task.prompt }}"


json_values = st.recursive(st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.text(), lambda part: st.lists(part, max_size=4)
                           | st.dictionaries(st.text(max_size=8), part, max_size=4), max_leaves=8)
templates = st.dictionaries(st.text(max_size=8), json_values | st.lists(st.sampled_from(
    ["{{ task.prompt }}", "a {{ prompt }} b", "{{ data }}", "{{ data.task.images.0 }}", "{{ metadata_k }}", "x {{ nope }}"])), max_size=4)


@settings(deadline=None)
@given(template=templates, prompt=st.text(), metadata=st.text())
def test_the_body_is_always_json_of_the_shape_of_the_template(template: dict[str, Any], prompt: str, metadata: str) -> None:
    try:
        kept = read_template(template)
    except ValueError:
        return  # a text with braces in it, or with NUL
    body = told("template", tell(EventType.TASK_SUCCEEDED, make_task(prompt=prompt, metadata={"k": metadata})), kept)
    assert list(body) == list(template)
    assert {name: type(value) for name, value in body.items() if isinstance(value, list)} == {
        name: type(value) for name, value in template.items() if isinstance(value, list)}


@pytest.mark.parametrize(("template", "words"), [
    (5, "object or array"), (True, "object or array"), (None, "object or array"), ("5", "object or array"),
    ('"{{ id }}"', "object or array"),
    ("{{ id }}", "is not JSON"), ('{"n": {{ data.task.progress }} }', "in quotes"), ("", "is not JSON"),
    ({"{{ type }}": 1}, "name of a field"), ({"a": "{{ type"}, "does not end"), ({"a": "{{ {{ type }} }}"}, "does not end"),
    ({"a": "{{ }}"}, "no path"), ({"a": "{{}}"}, "no path"), ({"a": "{{ #if x }}"}, "no path"), ({"a": "{{ x | upper }}"}, "no path"),
    ({"a": "{{ .x }}"}, "no path"), ({"a": "{{ x. }}"}, "no path"), ({"a": "{{ f(x) }}"}, "no path"),
    ({"a": ["{{ a == 'b' }}"]}, "no path"),
    ({"a": "x" * LARGEST_TEMPLATE_BYTES}, "bytes of JSON"), ("[" + " " * LARGEST_TEMPLATE_BYTES + "]", "characters"),
    ("[" * 500 + "]" * 500, "levels deep"), ("[" * 8000 + "]" * 8000, "levels deep|not JSON"), ({"a": "\0"}, "NUL"), ('["\\u0000"]', "NUL"),
    ({"a": "{{" + " " * 10_000}, "does not end"), ({"a": "{{ " * 5_000}, "does not end"),
], ids=lambda value: str(value)[:30])
def test_what_is_no_template_is_refused_in_words(template: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_template(template)


def test_a_text_that_holds_json_is_taken_for_what_it_holds() -> None:
    assert read_template('{"text": "{{ task.prompt }}"}') == {"text": "{{ task.prompt }}"}


def test_a_template_may_be_as_large_as_is_said() -> None:
    largest = {"a": "x" * (LARGEST_TEMPLATE_BYTES - len('{"a":""}'))}
    assert read_template(largest) == largest


@pytest.mark.parametrize("text", ["{{ task.prompt }}", "a {{ task.prompt }} b", "{{ data }}"])
def test_a_body_that_would_be_too_large_is_refused_before_it_is_made(text: str) -> None:
    event = succeeded(prompt="x" * (LARGEST_BODY_BYTES // 8))
    assert len(told("template", event, {"a": [text] * 7})["a"]) == 7
    with pytest.raises(Unformattable, match="1048576 bytes"):
        FORMATTER.format("template", event, template={"a": [text] * 1000})


def test_what_escapes_make_longer_is_counted_too() -> None:
    with pytest.raises(Unformattable, match="1048576 bytes"):
        FORMATTER.format("template", succeeded(prompt='"' * (LARGEST_BODY_BYTES // 2)), template={"a": "{{ prompt }}", "b": "x"})
