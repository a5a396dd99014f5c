"""What Kie says, read: bytes in, an Update or an error out, and nothing else whatever the bytes are.

A refusal counts by its body `code`, whatever the HTTP status; only where there is no such code the status counts. A submit
that was answered in no way that we know may have been accepted, so it is never sent again: the callback tells.
"""

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from relay.errors import Fate, ProviderError, Unreadable
from relay.model import ErrorCode, Picture, TaskError, TaskStatus, Update
from relay.providers.answer import Answer, failed, id_at, is_link, number_at, refusal, tidy
from relay.providers.kie import wire

T = TypeVar("T")

_MILLISECONDS: Final = 1e11  # as seconds the year 5138, as milliseconds 1973
_STATUSES: Final = {
    402: ErrorCode.INSUFFICIENT_CREDITS,
    403: ErrorCode.PROVIDER_ERROR,  # Cloudflare's "error code: 1010" before Kie: it looks like a bad key and is none
    404: ErrorCode.PROVIDER_ERROR,
}


def read_submission(answer: Answer) -> Update:
    """The answer to a submit. Raises ProviderError with the fate of the request."""
    accepted = _decode(_data(answer), wire.Accepted)
    task_id = id_at(accepted.task_id) if accepted else None
    if task_id is None:
        raise _unclear("Kie accepted the task without naming it")
    return Update(status=TaskStatus.SUBMITTED, provider_task_id=task_id)


def read_record(answer: Answer, *, asked: str | None, now: datetime) -> Update:
    """The answer of record-info about the task `asked`. Raises ProviderError if it tells nothing about it: then asking failed,
    and the task may well run."""
    try:
        record = _decode(_data(answer), wire.Record)
    except ProviderError as exc:
        raise ProviderError(exc.reason, exc.message, fate=Fate.UNKNOWN, provider_code=exc.provider_code,
                            retry_after=exc.retry_after) from None
    if record is None:
        raise _unclear("Kie's record of the task cannot be read")
    named = id_at(record.task_id)
    if named and asked and named != asked:
        raise _unclear("Kie answered with the record of another task")
    return _update_of(record, named or asked, now)


def read_callback(body: bytes, *, now: datetime) -> Update:
    """A callback. Raises Unreadable; so does a success without a link and a code that is not documented: neither says how the
    task ended, and the record does."""
    envelope = _decode(body, wire.Envelope)
    if envelope is None:
        raise Unreadable("The body is not Kie's envelope of code, msg and data.")
    task_id = named_task(body)
    if envelope.code == wire.OK:
        data = _decode(envelope.data, wire.CallbackData)
        url = _first_link(data.info) if data and data.info else None
        if url is None:
            raise Unreadable("The callback says success and names no picture.")
        return _success(url, now, task_id)
    if envelope.code not in wire.CODES:
        raise Unreadable("The callback's code is not documented.")
    error = failed(wire.CODES[envelope.code], _words(envelope.msg), str(envelope.code))
    return Update(status=TaskStatus.FAILED, provider_task_id=task_id, error=error)


def named_task(body: bytes) -> str | None:
    """The task id that a callback names: `data.taskId`, else where else Kie's pages put it."""
    document = _decode(body, dict[str, Any])
    places = (("data", "taskId"), ("data", "task_id"), ("taskId",), ("task_id",))
    return next((found for place in places if (found := id_at(document, *place))), None)


def _data(answer: Answer) -> msgspec.Raw:
    """`data` of an answer whose code is 200. Raises ProviderError for every other one."""
    envelope = _decode(answer.body, wire.Envelope)
    if envelope is None:
        raise _from_before_kie(answer)
    if envelope.code != wire.OK:
        raise _refusal(envelope, answer.retry_after)
    return envelope.data


def _from_before_kie(answer: Answer) -> ProviderError:
    """An answer without the envelope; whatever its status, success included, Kie itself did not speak."""
    if answer.is_success:
        return _unclear("Kie's answer cannot be read")
    return refusal(answer, _STATUSES)


def _refusal(envelope: wire.Envelope, retry_after: float | None) -> ProviderError:
    code = envelope.code
    error = failed(wire.CODES.get(code, ErrorCode.PROVIDER_ERROR), _words(envelope.msg), id_at(code))
    fate = Fate.REFUSED if code in wire.CODES else Fate.UNKNOWN
    if code in wire.CODES_NOT_ACCEPTED:
        fate = Fate.NOT_ACCEPTED
    return ProviderError(error.code, error.message, fate=fate, provider_code=error.provider_code, retry_after=retry_after)


def _update_of(record: wire.Record, task_id: str | None, now: datetime) -> Update:
    match record.success_flag:
        case wire.SUCCESS:
            url = _link(record.response)
            if url is None:
                error = failed(ErrorCode.PROVIDER_ERROR, "Kie reports success and names no picture")
                return Update(status=TaskStatus.FAILED, provider_task_id=task_id, error=error)
            return _success(url, min(_moment(record.complete_time) or now, now), task_id)
        case wire.CREATION_FAILED | wire.GENERATION_FAILED:
            return Update(status=TaskStatus.FAILED, provider_task_id=task_id, error=_failure(record))
        case _:  # 0, none, or a flag that is not documented: open until the deadline
            return Update(status=TaskStatus.PROCESSING, provider_task_id=task_id)


def _failure(record: wire.Record) -> TaskError:
    number = number_at(record.error_code)
    reason = wire.CODES.get(int(number), ErrorCode.PROVIDER_ERROR) if number is not None else ErrorCode.PROVIDER_ERROR
    return failed(reason, _words(record.error_message), id_at(record.error_code))


def _success(url: str, completed_at: datetime, task_id: str | None) -> Update:
    picture = Picture(url=url, expires_at=completed_at + wire.RESULT_LIFETIME)
    return Update(status=TaskStatus.SUCCEEDED, provider_task_id=task_id, pictures=(picture,))


def _link(response: msgspec.Raw) -> str | None:
    """The result link of a record's `response`, which may be an object, JSON in a string, or null."""
    text = _decode(response, str)
    pictures = _decode(response if text is None else text.encode(), wire.Pictures)
    return _first_link(pictures) if pictures else None


def _first_link(pictures: wire.Pictures) -> str | None:
    urls = (pictures.result_image_url, *(pictures.result_urls or ()))
    return next((url for url in urls if is_link(url)), None)


def _words(message: Any) -> str:  # noqa: ANN401 -- whatever stands there
    return tidy(message) if isinstance(message, str) else ""


def _unclear(text: str) -> ProviderError:
    return ProviderError(ErrorCode.PROVIDER_ERROR, text, fate=Fate.UNKNOWN)


def _decode(data: bytes | msgspec.Raw, shape: type[T]) -> T | None:
    """None for anything that is not `shape`; numbers and booleans may stand there as text."""
    try:
        return msgspec.json.decode(data, type=shape, strict=False)
    except (ValueError, RecursionError, OverflowError):  # msgspec's errors and bad UTF-8 are ValueErrors
        return None


def _moment(value: Any) -> datetime | None:  # noqa: ANN401
    """When the picture was done: text in ISO 8601, or seconds or milliseconds as a number; None if it is neither."""
    number = number_at(value)
    try:
        if number is not None:
            return datetime.fromtimestamp(number / 1000 if number > _MILLISECONDS else number, UTC)
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
