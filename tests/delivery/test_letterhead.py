"""What is kept from one attempt at a subscription to the next, and when it is made anew."""

import json
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from relay.delivery.letterhead import Letterhead, Letterheads
from relay.delivery.sender import Prepared
from relay.model import Subscription
from relay.net.fetch import FetchError, GuardedSession
from relay.signing import derive_key, new_private_key, new_webhook_secret
from relay.vault import SecretLost, Vault
from tests.delivery.made import LOOPBACK, NOW, SECRET, VAULT, make_job, make_sender, make_subscription
from tests.delivery.receiver import Receiver

pytestmark = pytest.mark.anyio

JSON = "application/json"
BEFORE = make_subscription(
    id="sub_1", sealed_headers=VAULT.seal('{"x-team": "a"}'), sealed_callback_secret=VAULT.seal("hush"),
    previous_sealed_secret=VAULT.seal(new_webhook_secret()), previous_secret_until=NOW + timedelta(hours=1))


class Opening(Vault):
    """Counts what it opens."""

    def __init__(self) -> None:
        super().__init__([derive_key("k" * 32, "vault")])
        self.opened = 0

    def open(self, sealed: str) -> str:
        self.opened += 1
        return super().open(sealed)


def letterheads(vault: Vault = VAULT) -> Letterheads:
    return Letterheads(vault, LOOPBACK)


def told(letterhead: Letterhead) -> tuple[Any, ...]:
    """All that shows on the wire."""
    recipient = letterhead.recipient
    return letterhead.headers, letterhead.keys, letterhead.private_keys, recipient.host, recipient.way, recipient.head, recipient.form


def sent(prepared: Prepared) -> tuple[Any, ...]:
    return told(prepared.letterhead), prepared.headers, prepared.body


def test_it_is_kept_while_its_subscription_stays_as_it_was() -> None:
    vault = Opening()
    kept = letterheads(vault)
    first = kept.letterhead(BEFORE, JSON, NOW)
    opened = vault.opened
    read_again = replace(BEFORE)
    assert kept.letterhead(read_again, JSON, NOW) is first
    assert (vault.opened, read_again is BEFORE) == (opened, False)


CHANGES: dict[str, dict[str, Any]] = {
    "another address": {"url": "https://elsewhere.example/"},
    "another format, with an address of its own": {"format": "discord"},
    "other headers": {"sealed_headers": VAULT.seal('{"x-team": "b"}')},
    "no headers": {"sealed_headers": None},
    "another secret": {"sealed_secret": VAULT.seal(new_webhook_secret())},
    "another old secret": {"previous_sealed_secret": VAULT.seal(new_webhook_secret())},
    "no rotation": {"previous_sealed_secret": None, "previous_secret_until": None},
    "another callback secret": {"sealed_callback_secret": VAULT.seal("louder")},
    "a key pair": {"signatures": ("v1", "v1a"), "sealed_private_key": VAULT.seal(new_private_key())},
    "networks of its own": {"allow_cidrs": ("10.0.0.0/8",)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_its_owner_changes_shows_in_the_next_attempt(session: GuardedSession, change: dict[str, Any]) -> None:
    after = replace(BEFORE, **change)
    sender, fresh, job = make_sender(session), make_sender(session), make_job(after)
    before = sender.prepare(replace(job, subscription=BEFORE), NOW)
    assert sent(sender.prepare(job, NOW)) == sent(fresh.prepare(job, NOW))
    assert told(sender.prepare(job, NOW).letterhead) != told(before.letterhead)


def test_once_a_rotation_is_over_the_old_secret_signs_no_more() -> None:
    kept = letterheads()
    over = NOW + timedelta(hours=1)
    assert [len(kept.letterhead(BEFORE, JSON, at).keys) for at in (NOW, over - timedelta(seconds=1), over)] == [2, 2, 1]


def test_a_message_of_another_type_says_so() -> None:
    kept = letterheads()
    for content_type in (JSON, "text/plain", JSON):
        letterhead = kept.letterhead(BEFORE, content_type, NOW)
        assert letterhead.headers["content-type"] == content_type
        assert f"content-type: {content_type}\r\n".encode() in letterhead.recipient.head


@pytest.mark.parametrize(("given", "error"), [
    ({"url": "http://10.0.0.1/"}, FetchError),
    ({"sealed_headers": VAULT.seal(json.dumps({"x": "a\nb"}))}, FetchError),
    ({"sealed_secret": Vault([derive_key("other", "vault")]).seal(SECRET)}, SecretLost),
], ids=["a closed address", "a header that cannot be sent", "a lost secret"])
def test_what_cannot_be_used_is_told_each_time_until_it_is_mended(given: dict[str, Any], error: type[Exception]) -> None:
    kept = letterheads()
    for _ in range(2):
        with pytest.raises(error):
            kept.letterhead(replace(BEFORE, **given), JSON, NOW)
    assert told(kept.letterhead(BEFORE, JSON, NOW)) == told(letterheads().letterhead(BEFORE, JSON, NOW))


def test_an_old_secret_that_is_lost_stands_in_the_way_during_the_rotation_only() -> None:
    lost = replace(BEFORE, previous_sealed_secret=Vault([derive_key("other", "vault")]).seal(SECRET))
    with pytest.raises(SecretLost):
        letterheads().letterhead(lost, JSON, NOW)
    assert len(letterheads().letterhead(lost, JSON, NOW + timedelta(hours=1)).keys) == 1


def test_what_is_ours_to_say_stands_there_once_and_is_ours() -> None:
    ours = ("Webhook-Id", "webhook-timestamp", "WEBHOOK-SIGNATURE", "webhook-attempt", "Content-Type", "User-Agent", "X-Webhook-Secret")
    theirs = dict.fromkeys(ours, "forged") | {"x-mine": "1"}
    letterhead = letterheads().letterhead(replace(BEFORE, sealed_headers=VAULT.seal(json.dumps(theirs))), JSON, NOW)
    assert letterhead.headers["x-mine"] == "1"
    assert b"forged" not in letterhead.recipient.head
    for name in ours:
        assert (letterhead.recipient.head.decode() + letterhead.recipient.form).count(f"\r\n{name.lower()}: ") == 1


def test_those_of_very_many_subscriptions_do_not_pile_up() -> None:
    kept, many = letterheads(), [replace(BEFORE, id=f"sub_{number}") for number in range(1100)]
    first = [kept.letterhead(one, JSON, NOW) for one in many]
    assert [kept.letterhead(one, JSON, NOW) is known for one, known in zip(many[-3:], first[-3:], strict=True)] == [True] * 3
    assert kept.letterhead(many[0], JSON, NOW) is not first[0]


async def test_each_attempt_has_headers_of_its_own_over_the_same_connection(session: GuardedSession) -> None:
    async with Receiver() as receiver:
        subscription: Subscription = make_subscription(receiver.url)
        sender, jobs = make_sender(session), [make_job(subscription, attempts=number) for number in range(3)]
        for job in jobs:
            await sender.send(job)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [job.event.id for job in jobs]
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2", "3"]
    assert len({request.headers["webhook-signature"] for request in receiver.requests}) == 3
    assert receiver.connections == 1
