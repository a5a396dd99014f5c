"""Where providers call back. The signed token in the path names the task; no API key is asked for.

Whatever the content type says, the bytes go to the provider's own reader. 200 is sent only after the durable write.
"""

from typing import Final

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.errors import Malformed, NotFound, TooLarge, Unauthorized
from relay.model import Verdict
from relay.web.body import MEBIBYTE, read_whole
from relay.web.middleware import Journal, add_to_log
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.parts import Web
from relay.web.shapes import Receipt

_MAX_BODY: Final = MEBIBYTE
_PATH: Final = "/callbacks/{provider}/{token}"
_RECEIPTS: Final = {verdict: answer_json(Receipt(code=200, msg="success", verdict=verdict)) for verdict in Verdict}


async def take_callback(call: Call[NoQuery, NoBody]) -> Response:
    return await _take(call.web, call.request.scope, call.request.receive, call.id_of("provider"), call.id_of("token"))


async def _take(web: Web, scope: Scope, receive: Receive, provider: str, token: str) -> Response:
    if provider not in web.providers:
        raise NotFound
    body = await read_whole(scope, receive, _MAX_BODY)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}  # in lower case, by ASGI
    received = await web.tasks.receive(provider, token, headers, body)
    add_to_log(scope, task=received.task_id, verdict=received.verdict)
    return _RECEIPTS[received.verdict]


class CallbackFront:
    """Middleware: a callback goes past the router and all that stands around it. It changes nothing but the time that takes."""

    def __init__(self, app: ASGIApp, *, journal: Journal, web: Web) -> None:
        self._app = app
        self._journal = journal
        self._web = web
        self._route = Route(_PATH, self)  # for those who count requests by their route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = scope["path"].split("/") if scope["type"] == "http" and scope["method"] == "POST" else []
        if len(parts) != 4 or parts[1] != "callbacks" or not (parts[2] and parts[3]):
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        await self._journal.answer(scope, send, _take(self._web, scope, receive, parts[2], parts[3]))


OPERATIONS = (
    Operation(
        method="POST", path=_PATH, id="takeCallback", tag="Callbacks", summary="Where providers call back",
        handle=take_callback,
        description="The URL that Relay gives to the provider. Takes the provider's own body, whatever its content type, up to 1 MiB.",
        is_open=True, takes_raw_body=True, problems=(NotFound, TooLarge, Unauthorized, Malformed),
        answers={200: Answer(means="Recorded durably.", shape=Receipt)},
    ),
)
