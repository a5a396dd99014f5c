"""Statements and text on their way to the server."""

from hypothesis import given
from hypothesis import strategies as st

from relay.stores.postgres.statement import arguments, columns, escaped, numbered, readable

ODD_TEXT = st.text(st.sampled_from("a0\x001\x1a"), max_size=8) | st.text(max_size=8)


@given(ODD_TEXT)
def test_any_text_comes_back_as_it_was_and_the_server_sees_no_nul(text: str) -> None:
    [row] = readable([{"text": escaped(text), "number": 1}])
    assert (row["text"], row["number"]) == (text, 1)
    assert "\0" not in escaped(text)


@given(ODD_TEXT, ODD_TEXT)
def test_two_texts_are_never_written_alike(one: str, other: str) -> None:
    assert (escaped(one) == escaped(other)) is (one == other)


def test_odd_text_is_written_so_wherever_it_stands() -> None:
    assert arguments(["a", "b", "c"], {"a": "x\0", "b": ["y\0", None, 1], "c": b"\0"}) == ["x\x1a0", ["y\x1a0", None, 1], b"\0"]
    assert columns(["a", "b"], [{"a": "x\0", "b": 1}, {"a": "y", "b": 2}]) == [["x\x1a0", "y"], [1, 2]]


def test_a_name_has_one_number_however_often_it_stands() -> None:
    sql, names = numbered("UPDATE t SET a = :new_a WHERE b = :b AND a <> :new_a")
    assert (sql, names) == ("UPDATE t SET a = $1 WHERE b = $2 AND a <> $1", ("new_a", "b"))
