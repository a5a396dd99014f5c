"""What is kept of a callback holds no secret."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.signing import Seal
from relay.tasks.receive import redact_body, redact_headers


def test_headers_that_carry_secrets_keep_their_name_only() -> None:
    kept = redact_headers({"x-webhook-secret": "s3cret", "content-type": "application/json", "authorization": "Bearer k"})
    assert kept == {"x-webhook-secret": "[redacted]", "content-type": "application/json", "authorization": "[redacted]"}


def test_fields_that_are_secrets_by_name_are_redacted_wherever_they_stand() -> None:
    body = json.dumps({"config": {"webhook_secret": 'a"b', "apiKey": "k1", "access_token": "t"}, "task_id": "x", "tokens": 3}).encode()
    kept = json.loads(redact_body(body, []))
    assert kept == {"config": {"webhook_secret": "[redacted]", "apiKey": "[redacted]", "access_token": "[redacted]"},
                    "task_id": "x", "tokens": 3}


@given(before=st.binary(max_size=50), after=st.binary(max_size=50))
def test_our_secret_is_redacted_by_value_in_any_garbage(before: bytes, after: bytes) -> None:
    secret = "vF5kq0Zb3nUx9s8T2w7y"
    assert secret not in redact_body(before + secret.encode() + after, [secret])


@given(body=st.binary())
def test_what_is_kept_is_text_without_nul(body: bytes) -> None:
    kept = redact_body(body, [])
    assert "\0" not in kept
    kept.encode()


@pytest.mark.parametrize("part", [b"token", b'\\"', b'"token":', b"a"], ids=["names", "escapes", "fields", "plain"])
def test_a_mebibyte_made_to_be_hard_to_read_is_read_in_a_moment(part: bytes) -> None:
    body = b'"' + part * (1024 * 1024 // len(part))
    begun = time.process_time()
    redact_body(body, ["s" * 43])
    assert time.process_time() - begun < 3  # it took half an hour


@given(value=st.text(max_size=20))
def test_our_secrets_have_one_spelling_in_json(value: str) -> None:
    secrets = Seal(["n" * 32, "o" * 32], "callbacks").secrets_for(value)
    assert json.dumps(secrets, separators=(",", ":")) == '["' + '","'.join(secrets) + '"]'
    assert not any(set(secret) & set("/<>&'") for secret in secrets)  # some write these in another way, though they need not
