"""Kie's callbacks: whom we believe, what we understand, and how we tell them onwards."""

import base64
import contextlib
import hashlib
import hmac
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Unreadable
from relay.model import ErrorCode, TaskError, TaskStatus, Update
from tests.providers.test_kie import BODIES, LINK, client, task


def callback(code: Any = 200, **data: Any) -> bytes:
    return msgspec.json.encode({"code": code, "msg": "any words", "data": {"taskId": "k1", **data}})


INFO = {"originImageUrl": "https://o.example.com/1", "resultImageUrl": LINK}


@pytest.mark.parametrize("body", [
    b"", b"{}", b"null", b"\xff", b"<html>", b'{"code": "x"}', b"[" * 100_000, callback(200), callback(200, info=None),
    callback(200, info={"resultImageUrl": ""}), callback(200, info="x"), callback(200, info={"resultImageUrl": 5}),
    callback(102, info=INFO), b'{"code":' + b"9" * 5000 + b"}",
], ids=lambda body: repr(body[:60]))
def test_a_callback_that_does_not_tell_the_end_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        client().read_callback({}, body)


@pytest.mark.parametrize("body", [
    {"code": 500, "data": {"taskId": "k1"}}, {"code": 500, "data": {"task_id": "k1"}}, {"code": 500, "taskId": "k1"},
    {"code": 500, "data": None, "task_id": "k1"}, {"code": 500, "data": {"taskId": "k1", "task_id": "k2"}, "taskId": "k3"},
])
def test_the_task_is_found_wherever_it_is_named(body: Any) -> None:
    assert client().read_callback({}, msgspec.json.encode(body)).provider_task_id == "k1"


# Whom we believe

HMAC_KEY = "a-webhook-key"


def signed(task_id: str, timestamp: str = "1774002600", key: str = HMAC_KEY) -> dict[str, str]:
    digest = hmac.digest(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256)
    return {"x-webhook-timestamp": timestamp, "x-webhook-signature": base64.b64encode(digest).decode()}


def is_authentic(headers: dict[str, str], body: bytes, **fields: Any) -> bool:
    return client(webhook_hmac_key=HMAC_KEY).is_authentic(headers, body, secrets=["s"], task=task(**fields))


def test_a_documented_signature_is_believed() -> None:
    assert is_authentic(signed("k1"), callback(info=INFO))


def test_a_signature_that_openssl_made_is_believed() -> None:
    headers = {"x-webhook-timestamp": "1700000000", "x-webhook-signature": "09tFY3b7zPe4wWwCjv3koTy0aHiuYofhDDY1hY3fi6k="}
    assert is_authentic(headers, callback(info=INFO))


def test_a_body_that_names_no_task_is_checked_for_the_one_of_its_url() -> None:
    assert is_authentic(signed("k1"), b"garbage", provider_task_id="k1")
    assert not is_authentic(signed("k1"), b"garbage")


@pytest.mark.parametrize("headers", [
    {}, {"x-webhook-signature": signed("k1")["x-webhook-signature"]}, {"x-webhook-timestamp": "1774002600"},
    {**signed("k1"), "x-webhook-timestamp": "1774002601"}, {**signed("k1"), "x-webhook-signature": ""},
    {**signed("k1"), "x-webhook-signature": "\xe9\u20ac"}, signed("k2"), signed("k1", key="another"),
], ids=["none", "no timestamp", "no signature", "another time", "empty", "not ASCII", "another task", "another key"])
def test_whatever_is_not_signed_so_is_not_believed(headers: dict[str, str]) -> None:
    assert not is_authentic(headers, callback(info=INFO), provider_task_id="k1")


def test_a_signature_cannot_be_lent_to_a_body_about_another_task() -> None:
    body = msgspec.json.encode({"code": 200, "data": {"taskId": "victim", "task_id": "k1", "info": INFO}, "taskId": "k1"})
    assert not is_authentic(signed("k1"), body, provider_task_id="victim")


def test_without_a_key_the_signed_url_is_the_proof() -> None:
    assert client().is_authentic({}, callback(), secrets=[], task=task())


@pytest.mark.parametrize(("error", "code"), [
    (TaskError(code=ErrorCode.MODERATED, message="no"), 400),
    (TaskError(code=ErrorCode.PROVIDER_ERROR, message="no", provider_code="500"), 500),
    (TaskError(code=ErrorCode.PROVIDER_ERROR, message="no"), 501),
    (TaskError(code=ErrorCode.TIMEOUT, message="no"), 500),
])
def test_a_failure_is_told_with_one_of_the_codes_that_callbacks_have(error: TaskError, code: int) -> None:
    message = client().callback_for(task(status=TaskStatus.FAILED, error=error), ())
    assert msgspec.json.decode(message.body)["code"] == code
    retold = client().read_callback({}, message.body)
    assert (retold.status, retold.provider_task_id) == (TaskStatus.FAILED, "task_1")


def test_what_is_told_of_a_success_reads_as_one() -> None:
    message = client().callback_for(task(status=TaskStatus.SUCCEEDED), (LINK,))
    assert [picture.url for picture in client().read_callback({}, message.body).pictures] == [LINK]


@settings(deadline=None)
@given(BODIES, st.dictionaries(st.sampled_from(["x-webhook-timestamp", "x-webhook-signature"]), st.text(max_size=20)))
def test_garbage_in_a_callback_gives_an_update_or_is_unreadable(body: bytes, headers: dict[str, str]) -> None:
    made = client(webhook_hmac_key=HMAC_KEY)
    assert made.is_authentic(headers, body, secrets=[], task=task(provider_task_id="k1")) is False
    with contextlib.suppress(Unreadable):
        assert isinstance(made.read_callback(headers, body), Update)
