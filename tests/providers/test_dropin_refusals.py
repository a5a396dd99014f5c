"""Each dialect has words, and a status, for everything that can be refused; and what Relay adds to them."""

import json

import pytest

from relay.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    Invalid,
    Late,
    Malformed,
    NotFound,
    ProviderNotConfigured,
    RateLimited,
    StoreError,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unsupported,
    UnsupportedMediaType,
)
from relay.model import ErrorCode, Task, TaskError, TaskStatus
from relay.providers import DIALECTS
from relay.providers.dropin.dialect import Dialect
from relay.providers.dropin.trouble import failure_of, headers_for, refused_for
from relay.providers.refusal import Refused, Why
from tests.stores.making import NOW

NAMES = {"width": "size", "height": "size"}


@pytest.mark.parametrize("why", Why)
@pytest.mark.parametrize("make", DIALECTS, ids=lambda make: make.__name__)
def test_nothing_leaves_a_dialect_without_words(make: type[Dialect], why: Why) -> None:
    error = TaskError(code=ErrorCode.PROVIDER_ERROR, message="it broke", provider_code="500")
    of_a_task = Refused(why, "so it is", [FieldProblem("prompt", "is required")], task_id="task_1", error=error)
    for refused in (Refused(why, "so it is"), of_a_task):
        answer = make().refuse(refused)
        assert answer.status_code >= 400 or json.loads(bytes(answer.body))["code"] >= 400


@pytest.mark.parametrize(("error", "why"), [
    (Unauthorized(), Why.KEY), (Forbidden(), Why.KEY), (Malformed(), Why.BODY), (Late(), Why.LATE), (UnsupportedMediaType(), Why.MEDIA),
    (TooLarge(), Why.LARGE), (NotFound(), Why.MISSING), (Conflict(), Why.CONFLICT), (RateLimited(), Why.RATE), (Unavailable(), Why.BUSY),
    (ProviderNotConfigured(), Why.BUSY), (Invalid(), Why.FIELDS), (Unsupported(), Why.FIELDS), (StoreError(), Why.BUSY),
    (ValueError("a bug"), Why.BROKEN),
], ids=lambda value: type(value).__name__)
def test_every_error_of_ours_is_one_of_the_kinds(error: Exception, why: Why) -> None:
    assert refused_for(error, {}, None).why is why


def test_of_a_bug_nothing_is_told() -> None:
    assert "secret" not in refused_for(ValueError("the secret inside"), {}, None).message


def test_fields_are_named_as_the_app_names_them_and_once() -> None:
    problems = [FieldProblem("width", "is odd"), FieldProblem("height", "is odd"), FieldProblem("options.style", "is none")]
    refused = refused_for(Invalid(errors=problems), NAMES, None)
    assert refused.problems == [FieldProblem("size", "is odd"), FieldProblem("style", "is none")]
    assert refused.message == "size: is odd; style: is none"


def task(code: ErrorCode) -> Task:
    return Task(id="task_1", account_id="acc_1", provider="kie", status=TaskStatus.FAILED, created_at=NOW,
                error=TaskError(code=code, message="not this one"))


@pytest.mark.parametrize("code", ErrorCode)
def test_a_client_is_told_not_to_ask_again_for_a_task_that_failed(code: ErrorCode) -> None:
    headers = headers_for(failure_of(task(code)))
    assert headers == {"x-relay-task-id": "task_1", "x-should-retry": "false"}


def test_nor_for_one_that_is_not_there_yet() -> None:
    assert headers_for(Refused(Why.OVERRUN, "late", task_id="task_1"))["x-should-retry"] == "false"


def test_who_asks_while_relay_stops_may_ask_again() -> None:
    assert headers_for(Refused(Why.BUSY, "stopping", task_id="task_1")) == {"x-relay-task-id": "task_1", "retry-after": "5"}


@pytest.mark.parametrize(("refused", "headers"), [
    (Refused(Why.BUSY, "full", retry_after=1), {"retry-after": "1"}), (Refused(Why.RATE, "slower"), {"retry-after": "5"}),
    (Refused(Why.CONFLICT, "another body"), {"x-should-retry": "false"}), (Refused(Why.KEY, "wrong"), {}),
])
def test_before_a_task_is_made_only_a_contradiction_is_final(refused: Refused, headers: dict[str, str]) -> None:
    assert headers_for(refused) == headers


def test_that_a_provider_has_no_key_here_lasts() -> None:
    assert headers_for(refused_for(ProviderNotConfigured(), {}, None)) == {"x-should-retry": "false"}
