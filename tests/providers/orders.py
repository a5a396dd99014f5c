"""What the tests of several dialects do with an app's request."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import strategies as st

from relay.errors import FieldProblem, Invalid, RequestError
from relay.ports import Provider, TaskRequest
from relay.providers.dropin.order import Order
from relay.providers.refusal import Refused

Read = Callable[[Mapping[str, Any]], Order]

_NOT_INPUT = ("provider", "prompt", "model", "callback_url", "callback_secret", "metadata")
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)


def input_of(request: TaskRequest) -> dict[str, Any]:
    """The fields of a request, as a task keeps them."""
    return {name: value for name in request.__struct_fields__ if name not in _NOT_INPUT and (value := getattr(request, name)) is not None}


def problems_of(read: Read, body: Mapping[str, Any]) -> list[FieldProblem]:
    """What is wrong with a request, which must be wrong."""
    with pytest.raises(Invalid) as caught:
        read(body)
    return caught.value.errors


def garbage(names: Iterable[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Requests with any JSON in these fields."""
    return st.dictionaries(st.sampled_from([*names, "x"]), _ANYTHING)


def assert_read_or_refused(read: Read, body: Mapping[str, Any], checker: Provider) -> None:
    """It is read, and passes or fails the provider's check, or is refused; nothing else happens."""
    with contextlib.suppress(RequestError, Refused):
        checker.check(read(body).request)
