"""The examples in deploy/verify take what Relay sends and refuse everything else, in each language that is there to run them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from relay.net.fetch import GuardedSession
from relay.signing import new_private_key, new_webhook_secret, public_key_of
from tests.delivery.made import SECRET, VAULT, make_job, make_sender, make_subscription, make_task, now

pytestmark = pytest.mark.anyio

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "verify"
OLD_SECRET, FOREIGN_SECRET = new_webhook_secret(), new_webhook_secret()
PAIR, OLD_PAIR, FOREIGN_PAIR = new_private_key(), new_private_key(), new_private_key()
KEYS: Final = {"whsec": (SECRET, OLD_SECRET, FOREIGN_SECRET), "whpk": tuple(public_key_of(pair) for pair in (PAIR, OLD_PAIR, FOREIGN_PAIR))}
RUNS: Final[dict[str, tuple[str, list[str]]]] = {
    "Python": ("python3", [sys.executable, str(FOLDER / "verify.py")]),
    "Node": ("node", ["node", str(FOLDER / "verify.mjs")]),
    "PHP": ("php", ["php", str(FOLDER / "verify.php")]),
    "Go": ("go", []),
    "bash and OpenSSL": ("openssl", [str(FOLDER / "verify.sh")]),
}


class Message(Struct, kw_only=True):
    """What came. Headers that are missing are empty here: so an argument can say it."""

    id: str
    timestamp: str
    signatures: str
    body: bytes


async def sent(*, age: timedelta = timedelta()) -> Message:
    """An event as Relay sends it, while secret and key pair rotate; signed so long ago."""
    session, at = GuardedSession(), now() - age
    subscription = make_subscription(
        signatures=("v1", "v1a"), previous_sealed_secret=VAULT.seal(OLD_SECRET), sealed_private_key=VAULT.seal(PAIR),
        previous_sealed_private_key=VAULT.seal(OLD_PAIR), previous_secret_until=at + timedelta(hours=1))
    job = make_job(subscription, task=make_task(prompt="größe 日本語 \0 $(id) `id` '\"\\"))
    prepared = make_sender(session).prepare(job, at)
    await session.close()
    headers = prepared.headers
    return Message(id=headers["webhook-id"], timestamp=headers["webhook-timestamp"], signatures=headers["webhook-signature"],
                   body=prepared.body)


def without_first(message: Message) -> None:
    """As while a rotation is under way: the signature by the old key stands behind others that mean nothing to its holder."""
    message.signatures = " ".join(["v1,AAAA", "v9,unknown", "v1a", *message.signatures.split(" ")])


def changed_letter(text: str) -> str:
    return text[:-10] + ("A" if text[-10] != "A" else "B") + text[-9:]


FORGERIES: Final[dict[str, Callable[[Message], Any]]] = {
    "the body": lambda message: setattr(message, "body", message.body.replace(b"succeeded", b"Succeeded")),
    "a byte after the body": lambda message: setattr(message, "body", message.body + b"\n"),
    "no body": lambda message: setattr(message, "body", b""),
    "the id": lambda message: setattr(message, "id", message.id + "x"),
    "the timestamp": lambda message: setattr(message, "timestamp", str(int(message.timestamp) + 1)),
    "the signatures": lambda message: setattr(
        message, "signatures", " ".join(changed_letter(token) for token in message.signatures.split(" "))),
    "half of the signatures": lambda message: setattr(
        message, "signatures", " ".join(token[:-20] for token in message.signatures.split(" "))),
    "the versions": lambda message: setattr(message, "signatures", message.signatures.replace("v1", "v2")),
    "empty signatures": lambda message: setattr(message, "signatures", "v1, v1a, , v1 v1a ,"),
    "signatures that are no base64": lambda message: setattr(message, "signatures", "v1,*** v1a,*** v1,ü"),
    "a missing id": lambda message: setattr(message, "id", ""),
    "a missing timestamp": lambda message: setattr(message, "timestamp", ""),
    "a missing signature": lambda message: setattr(message, "signatures", ""),
    "a timestamp that is none": lambda message: setattr(message, "timestamp", "1e9"),
    "a timestamp without end": lambda message: setattr(message, "timestamp", "9" * 5000),
}


@pytest.fixture(scope="module", params=RUNS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The example in one language, as a command; skipped where the language is not there."""
    needed, command = RUNS[request.param]
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed")
    if request.param == "Go":
        built = tmp_path_factory.mktemp("go") / "verify"
        subprocess.run(["go", "build", "-o", str(built), str(FOLDER / "verify.go")], check=True, timeout=120)
        return [str(built)]
    return command


def is_taken(program: list[str], key: str, message: Message) -> bool:
    ran = subprocess.run(
        [*program, message.id, message.timestamp, message.signatures], input=message.body, env={**os.environ, "KEY": key},
        capture_output=True, timeout=30, check=False)
    said = ran.stderr.decode().strip()
    assert (ran.returncode, said) in ((0, ""), (1, "refused")), said
    return ran.returncode == 0


@pytest.mark.parametrize("kind", KEYS)
async def test_what_relay_sends_is_taken_with_each_key_in_force_and_no_other(program: list[str], kind: str) -> None:
    message = await sent()
    assert [is_taken(program, key, message) for key in KEYS[kind]] == [True, True, False]


@pytest.mark.parametrize("kind", KEYS)
async def test_a_signature_is_found_among_others(program: list[str], kind: str) -> None:
    message = await sent()
    without_first(message)
    assert is_taken(program, KEYS[kind][1], message)


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forgery_is_refused(program: list[str], forgery: str) -> None:
    message = await sent()
    FORGERIES[forgery](message)
    assert not is_taken(program, SECRET, message)


@pytest.mark.parametrize("forgery", ["the body", "the id", "the timestamp", "the signatures", "half of the signatures", "the versions",
                                     "empty signatures", "signatures that are no base64"])
async def test_a_forgery_is_refused_with_a_public_key_too(program: list[str], forgery: str) -> None:
    message = await sent()
    FORGERIES[forgery](message)
    assert not is_taken(program, KEYS["whpk"][0], message)


@pytest.mark.parametrize(("age", "is_fine"), [(-330, False), (-270, True), (270, True), (330, False)])
async def test_five_minutes_are_tolerated_in_either_direction(program: list[str], age: int, *, is_fine: bool) -> None:
    message = await sent(age=timedelta(seconds=age))
    assert is_taken(program, SECRET, message) is is_fine


def test_the_page_names_every_example() -> None:
    page = (FOLDER / "README.md").read_text()
    assert all(f"]({example.name})" in page for example in FOLDER.glob("verify.*"))
