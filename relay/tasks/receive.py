"""Taking callbacks: who is it, what does it say, record it; the provider is told 200 only after that.

The signed token in the URL names the task. Where the provider echoes a secret or signs, that must be right too. A callback that proves
nothing is refused with one answer whatever was wrong, and nothing of it is kept.

What is kept is redacted: headers and fields that carry secrets by their name, and our secrets by their value wherever they stand.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from relay.errors import Unauthorized, Unreadable
from relay.model import Callback, Change, Update, Verdict, Via
from relay.ports import Meter, Provider, Received, Store
from relay.tasks.record import Recorder
from relay.tasks.routes import Routes

_log = logging.getLogger(__name__)
_REDACTED: Final = "[redacted]"
_SECRET_HEADERS: Final = frozenset({
    "authorization", "cookie", "proxy-authorization", "x-api-key", "x-key", "x-webhook-secret", "x-webhook-signature",
})
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)  # one without an end runs to the end, so no character is read twice
_SECRET_WORDS: Final = ("secret", "password", "token", "apikey", "api_key", "authorization")
_SECRET_NAME: Final = re.compile("|".join(_SECRET_WORDS), re.IGNORECASE)


class Receiver(Struct, frozen=True, kw_only=True):
    """Takes the callbacks of all providers. `reconcile_after`: how long after the last one a task is to be asked for."""

    routes: Routes
    store: Store
    recorder: Recorder
    new_id: Callable[[str], str]
    clock: Callable[[], datetime]
    meter: Meter
    reconcile_after: timedelta

    async def receive(self, provider: str, token: str, headers: Mapping[str, str], body: bytes) -> Received:
        """See ports.Tasks.receive."""
        received_at = self.clock()
        task_id = self.routes.seal.read(token)
        if task_id is None:
            raise self._refusal(provider, "the token is not one of ours")
        secrets = self.routes.seal.secrets_for(task_id)
        api = self.routes.providers[provider]
        if not (api.is_authentic(headers, body, secrets=secrets, task=None) or await self._is_known(api, task_id, headers, body, secrets)):
            raise self._refusal(provider, "the secret or signature is absent or wrong")
        applied = await self.recorder.record(self._change(api, task_id, headers, body, secrets, received_at))
        if applied is None:
            raise self._refusal(provider, "its task is gone, or another provider's")
        self.meter.count("relay_callbacks_total", provider=provider, verdict=applied.verdict)
        self.meter.observe("relay_callback_commit_seconds", (self.clock() - received_at).total_seconds())
        return Received(task_id=task_id, verdict=applied.verdict)

    async def _is_known(self, api: Provider, task_id: str, headers: Mapping[str, str], body: bytes, secrets: list[str]) -> bool:
        """Whether it proves itself with what is known of its task; the usual callback needs no such look-up."""
        task = await self.store.task_for_callback(task_id)
        return task is not None and api.is_authentic(headers, body, secrets=secrets, task=task)

    def _refusal(self, provider: str, why: str) -> Unauthorized:
        self.meter.count("relay_callbacks_total", provider=provider, verdict="refused")
        _log.warning("callback for %s refused: %s", provider, why)
        return Unauthorized("This callback does not prove to be one that was asked for.")

    def _change(self, api: Provider, task_id: str, headers: Mapping[str, str], body: bytes, secrets: list[str],
                received_at: datetime) -> Change:
        update, verdict = _read(api, headers, body)
        callback = Callback(
            id=self.new_id("cbk"), task_id=task_id, provider=api.name, verdict=verdict,
            headers=redact_headers(headers), body=redact_body(body, secrets), received_at=received_at,
        )
        next_at = received_at + self.reconcile_after if update else None
        return Change(
            task_id=task_id, via=Via.CALLBACK, now=received_at, update=update, verdict=verdict, callback=callback, next_at=next_at)


def _read(api: Provider, headers: Mapping[str, str], body: bytes) -> tuple[Update | None, Verdict]:
    try:
        update = api.read_callback(headers, body)
    except Unreadable:
        return None, Verdict.UNREADABLE
    return update, Verdict.UNCONFIRMED if api.confirm else Verdict.APPLIED


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Header names are lower case."""
    return {name: _REDACTED if name in _SECRET_HEADERS else value for name, value in headers.items()}


def redact_body(body: bytes, secrets: Iterable[str]) -> str:
    """The body as text, not UTF-8 and NUL replaced, without what may be secret. JSON writes the characters of `secrets` as they are."""
    text = body.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    lowered = text.lower()
    if any(map(lowered.__contains__, _SECRET_WORDS)):
        text = _without_secret_fields(text)
    for secret in secrets:
        text = text.replace(secret, _REDACTED)
    return text


def _without_secret_fields(text: str) -> str:
    """String values behind a name that speaks of a secret, taken out; in linear time, since the body is a stranger's."""
    kept: list[str] = []
    end, is_secret = 0, False
    for string in _STRING.finditer(text):
        between = text[end:string.start()]
        is_value = is_secret and between.strip() == ":"
        kept += [between, f'"{_REDACTED}"' if is_value else string[0]]
        end, is_secret = string.end(), not is_value and bool(_SECRET_NAME.search(string[0]))
    return "".join([*kept, text[end:]])
