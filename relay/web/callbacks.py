"""Where providers call back. The signed token in the path names the task; no API key is asked for.

Whatever the content type says, the bytes go to the provider's own reader. 200 is sent only after the durable write.
"""

from typing import Final

from starlette.responses import Response

from relay.errors import Malformed, NotFound, TooLarge, Unauthorized
from relay.web.body import MEBIBYTE, read_bytes
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.shapes import Receipt

_MAX_BODY: Final = MEBIBYTE


async def take_callback(call: Call[NoQuery, NoBody]) -> Response:
    provider = call.id_of("provider")
    if provider not in call.web.providers:
        raise NotFound
    body = await read_bytes(call.request, _MAX_BODY)
    headers = {name.lower(): value for name, value in call.request.headers.items()}
    verdict = await call.web.tasks.receive(provider, call.id_of("token"), headers, body)
    return answer_json(Receipt(code=200, msg="success", verdict=verdict))


OPERATIONS = (
    Operation(
        method="POST", path="/callbacks/{provider}/{token}", id="takeCallback", tag="Callbacks", summary="Where providers call back",
        handle=take_callback,
        description="The URL that Relay gives to the provider. Takes the provider's own body, whatever its content type, up to 1 MiB.",
        is_open=True, takes_raw_body=True, problems=(NotFound, TooLarge, Unauthorized, Malformed),
        answers={200: Answer(means="Recorded durably.", shape=Receipt)},
    ),
)
