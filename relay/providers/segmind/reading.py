"""What Segmind says, read: an answer in, an Update or a ProviderError out, and nothing else whatever the bytes are.

The connection is held until the picture is there, so a documented answer is the end of it: a picture, or a refusal after
which nothing more comes. 200 is not proof of a picture: its content type must say so, and its first bytes too. What comes
from before Segmind (502, 503, 504, a 500 that is not in its words) tells nothing about the work behind it.
"""

from typing import Final

from relay.errors import Fate, ProviderError
from relay.model import ErrorCode, Picture, TaskError, TaskStatus, Update
from relay.net.picture import picture_type
from relay.providers.answer import Answer, decode_json, error_text, failed, id_at, number_at, refusal
from relay.providers.segmind import wire

_ABOUT_THE_REQUEST: Final = ("content type", "content-type", "parameter", "invalid", "required", "validation", "must be")
"""What the text of a 406 says when it is not about credits."""


def read_picture(answer: Answer) -> Update:
    """The answer to the call. Raises ProviderError for everything that is not 200."""
    if answer.status != 200:
        raise _refusal(answer)
    content_type = picture_type(answer.body)
    if content_type is None or not answer.content_type.startswith("image/"):
        return _update(answer, TaskStatus.FAILED, error=_no_picture(answer))
    return _update(answer, TaskStatus.SUCCEEDED, pictures=(Picture(data=answer.body, content_type=content_type),))


def _update(answer: Answer, status: TaskStatus, *, pictures: tuple[Picture, ...] = (), error: TaskError | None = None) -> Update:
    headers = dict(answer.headers)
    return Update(
        status=status, pictures=pictures, error=error, provider_task_id=id_at(headers, wire.REQUEST_ID_HEADER),
        cost=number_at(headers, wire.COST_HEADER), credits_left=number_at(headers, wire.CREDITS_HEADER),
    )


def _no_picture(answer: Answer) -> TaskError:
    text = _own_words(answer) or "Segmind answered 200 with something that is no picture"
    return failed(ErrorCode.PROVIDER_ERROR, text, "200")


def _refusal(answer: Answer) -> ProviderError:
    if answer.status == 500 and (text := _own_words(answer)):
        error = failed(ErrorCode.PROVIDER_ERROR, text, "500")
        return ProviderError(error.code, error.message, fate=Fate.REFUSED, provider_code="500")
    return refusal(answer, {**wire.STATUSES, 406: _reason_of_406(answer.error_text())}, held=True)


def _reason_of_406(text: str) -> ErrorCode:
    lowered = text.lower()
    if "credit" not in lowered and any(word in lowered for word in _ABOUT_THE_REQUEST):
        return ErrorCode.INVALID_REQUEST
    return wire.STATUSES[406]


def _own_words(answer: Answer) -> str:
    """What a JSON body says went wrong; empty if it is none or says nothing."""
    try:
        return error_text(decode_json(answer.body))
    except ValueError:
        return ""
