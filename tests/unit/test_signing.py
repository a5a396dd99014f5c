"""Signatures and capabilities."""

import base64
import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import Signer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from relay.signing import (
    Seal,
    derive_key,
    hmac_sha256,
    new_private_key,
    new_webhook_secret,
    public_key_of,
    read_private_key,
    read_webhook_secret,
    webhook_signature,
)

OLD, NEW = "o" * 32, "n" * 32
values = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=40)


def test_a_signature_is_the_one_of_the_specification() -> None:
    """The example in the specification's own libraries."""
    key = read_webhook_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = webhook_signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@settings(deadline=None)
@given(st.binary(max_size=200).map(base64.b64encode))
def test_the_public_library_verifies_every_signature(body: bytes) -> None:
    secret, timestamp = new_webhook_secret(), int(datetime.now(UTC).timestamp())
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(timestamp),
               "webhook-signature": webhook_signature([read_webhook_secret(secret)], "evt_1", timestamp, body)}
    Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers, json_parse=False)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_a_public_key_verifies_what_its_private_key_signed(body: bytes) -> None:
    private_key = new_private_key()
    public_key = public_key_of(private_key)
    header = webhook_signature([], "evt_1", 1614265330, body, private_keys=[read_private_key(private_key)])
    version, _, signature = header.partition(",")
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    assert (version, private_key[:5], public_key[:5]) == ("v1a", "whsk_", "whpk_")
    verifier.verify(base64.b64decode(signature), b"evt_1.1614265330." + body)
    with pytest.raises(InvalidSignature):
        verifier.verify(base64.b64decode(signature), b"evt_1.1614265331." + body)


def test_an_ed25519_signature_is_the_one_of_the_specification() -> None:
    """The first key pair of RFC 8032, 7.1; ed25519 is deterministic."""
    private_key = "whsk_" + base64.b64encode(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")).decode()
    public_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert base64.b64decode(public_key_of(private_key).removeprefix("whpk_")).hex() == public_key


def test_both_kinds_of_signature_stand_side_by_side() -> None:
    private_key = read_private_key(new_private_key())
    header = webhook_signature([b"a" * 24, b"b" * 24], "evt_1", 1, b"{}", private_keys=[private_key])
    assert [token.partition(",")[0] for token in header.split(" ")] == ["v1", "v1", "v1a"]


def test_while_a_secret_rotates_both_verify() -> None:
    old, new, timestamp = new_webhook_secret(), new_webhook_secret(), int(datetime.now(UTC).timestamp())
    keys = [read_webhook_secret(new), read_webhook_secret(old)]
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(timestamp), "webhook-signature": webhook_signature(keys, "evt_1",
    timestamp, b"{}")}
    for secret in (old, new):
        Webhook(secret).verify(b"{}", headers)


def test_a_new_secret_holds_32_bytes_in_the_standard_alphabet() -> None:
    secrets = {new_webhook_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(read_webhook_secret(secret)) for secret in secrets} == {32}
    assert not any(set(secret.removeprefix("whsec_")) & set("-_") for secret in secrets)


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_of_24_to_64_bytes_is_taken(size: int) -> None:
    assert read_webhook_secret("whsec_" + base64.b64encode(b"k" * size).decode()) == b"k" * size


@pytest.mark.parametrize(("secret", "words"), [
    ("", "begin with whsec_"), ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begin with whsec_"), ("whsec_", "24 to 64 bytes"),
    ("whsec_" + base64.b64encode(b"k" * 23).decode(), "not 23"), ("whsec_" + base64.b64encode(b"k" * 65).decode(), "not 65"),
    ("whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(), "standard base64"), ("whsec_ü" * 10, "standard base64"),
    ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "standard base64"), ("whsec_MfKQ 9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "standard base64"),
])
def test_a_secret_of_another_shape_is_refused_in_words(secret: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_webhook_secret(secret)


@settings(deadline=None)
@given(values)
def test_a_seal_reads_what_it_signed(value: str) -> None:
    seal = Seal([NEW], "callbacks")
    assert seal.read(seal.sign(value)) == value


@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_seal_takes_nothing_else(token: str) -> None:
    assert Seal([NEW], "callbacks").read(token) is None


@settings(deadline=None)
@given(value=values, at=st.integers(0, 90), put=st.text(st.characters(codec="utf-8"), max_size=2), dropped=st.integers(0, 2),
       keys=st.sampled_from([[NEW], [OLD], [NEW, OLD]]))
def test_a_seal_takes_what_itsdangerous_takes_in_the_one_spelling_that_is_signed(
        value: str, at: int, put: str, dropped: int, keys: list[str]) -> None:
    token = Seal(keys[-1:], "callbacks").sign(value)
    token = token[:at] + put + token[at + dropped:]
    signer = Signer([derive_key(key, "callbacks") for key in keys[::-1]], salt=b"", key_derivation="none", digest_method=hashlib.sha256)
    spellings = {key: Seal([key], "callbacks").sign(token.rpartition(".")[0]) for key in keys}
    expected = token.rpartition(".")[0] if signer.validate(token.encode()) and token in spellings.values() else None
    assert Seal(keys, "callbacks").read(token) == expected


@pytest.mark.parametrize("token", [Seal([NEW], "callbacks").sign("")[1:], "", ".", "\ud800.x"], ids=["no dot", "empty", "dot", "no text"])
def test_a_seal_takes_nothing_without_both_parts(token: str) -> None:
    assert Seal([NEW], "callbacks").read(token) is None


def test_a_seal_does_not_take_a_token_for_another_value() -> None:
    seal = Seal([NEW], "callbacks")
    signature = seal.sign("task_1").rpartition(".")[2]
    assert seal.read(f"task_2.{signature}") is None


def test_a_seal_does_not_take_a_token_of_another_purpose_or_key() -> None:
    token = Seal([NEW], "callbacks").sign("task_1")
    assert Seal([NEW], "images").read(token) is None
    assert Seal([OLD], "callbacks").read(token) is None


def test_the_newest_key_signs_and_all_verify() -> None:
    both = Seal([NEW, OLD], "callbacks")
    assert both.read(Seal([OLD], "callbacks").sign("task_1")) == "task_1"
    assert Seal([NEW], "callbacks").read(both.sign("task_1")) == "task_1"


def test_a_token_fits_into_a_path_segment() -> None:
    token = Seal([NEW], "callbacks").sign("task_01jb")
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_a_value_has_a_secret_under_each_key_newest_first() -> None:
    new, old = Seal([NEW, OLD], "callbacks").secrets_for("task_1")
    assert [new] == Seal([NEW], "callbacks").secrets_for("task_1")
    assert [old] == Seal([OLD], "callbacks").secrets_for("task_1")
    assert new != Seal([NEW], "callbacks").secrets_for("task_2")[0]
    assert new not in Seal([NEW], "callbacks").sign("task_1")


def test_keys_of_two_purposes_have_nothing_in_common() -> None:
    assert derive_key(NEW, "vault") != derive_key(NEW, "callbacks")
    assert len(derive_key(NEW, "vault")) == 32


def test_a_token_has_one_spelling_though_base64_leaves_bits_unused() -> None:
    seal = Seal(["k" * 32], "callbacks")
    token = seal.sign("task_1")
    others = [token[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if last != token[-1]]
    assert seal.read(token) == "task_1"
    assert {seal.read(other) for other in others} == {None}


@pytest.mark.parametrize("message", [b"", b"m", b"m" * 63, b"m" * 64, b"m" * 10_000], ids=len)
@pytest.mark.parametrize("key", [b"", b"k", b"k" * 32, b"k" * 63, b"k" * 64, b"k" * 65, b"k" * 1000], ids=len)
def test_an_hmac_is_that_of_the_standard_library_whatever_was_signed_before(key: bytes, message: bytes) -> None:
    """64 bytes are a block of SHA-256."""
    expected = hmac.digest(key, message, hashlib.sha256)
    assert [hmac_sha256(key, message), hmac_sha256(key, b"another"), hmac_sha256(key, message)][::2] == [expected] * 2


def test_threads_that_sign_with_one_key_do_not_disturb_each_other() -> None:
    messages = [b"%d" % number for number in range(5000)]
    with ThreadPoolExecutor(8) as threads:
        signed = list(threads.map(lambda message: hmac_sha256(b"k" * 32, message), messages * 4))
    assert signed == [hmac.digest(b"k" * 32, message, hashlib.sha256) for message in messages] * 4
