"""One operation as the document describes it: everything that it takes, and every status that it can answer with."""

from collections.abc import Iterator
from typing import Any, Final

from relay import errors
from relay.web.errors import MEDIA_TYPE, TITLES
from relay.web.openapi.parameter import header_refs, make_parameters
from relay.web.openapi.schema import page_name, ref_to
from relay.web.operation import Answer, NoQuery, Operation

_PROBLEMS: Final = {
    400: ("Malformed", "The body is not what it says it is: not JSON, not UTF-8, too deep."),
    401: ("Unauthorized", "There is no valid key."),
    403: ("Forbidden", "The key may not do that."),
    404: ("NotFound", "There is no such thing, or it is another account's."),
    409: ("Conflict", "This contradicts what is there already."),
    413: ("TooLarge", "The body is too large."),
    415: ("UnsupportedMediaType", "The body is not `application/json` in UTF-8."),
    422: ("Invalid", "A field or a query parameter is not what it may be; `errors` names each."),
    500: ("Internal", "Something went wrong inside Relay. It was logged."),
    503: ("Unavailable", "Not now; nothing was half done. Ask again after `Retry-After` seconds."),
}
_HEADERS: Final = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}
_CODES: Final = {
    400: ["invalid_request"], 422: ["invalid_request", "unsupported_parameter", "unknown_provider", "provider_not_configured"],
    **{status: [code] for status, code in (
        (401, "unauthorized"), (403, "forbidden"), (404, "not_found"), (409, "conflict"), (413, "payload_too_large"),
        (415, "unsupported_media_type"), (500, "internal"), (503, "unavailable"))},
}


def make_path(operation: Operation) -> dict[str, Any]:
    """The Operation Object."""
    described: dict[str, Any] = {
        "operationId": operation.id, "tags": [operation.tag], "summary": operation.summary,
        "security": [] if operation.is_open else [{"bearer": []}, {"apiKey": []}],
    }
    if words := _description(operation):
        described["description"] = words
    if parameters := make_parameters(operation):
        described["parameters"] = parameters
    if body := _body(operation):
        described["requestBody"] = body
    described["responses"] = {
        **{str(status): _answer(answer) for status, answer in operation.answers.items()},
        **{str(status): {"$ref": f"#/components/responses/{_PROBLEMS[status][0]}"} for status in sorted(_problem_statuses(operation))},
    }
    return described


def problem_responses() -> dict[str, Any]:
    """The errors, as components."""
    return {name: _problem(status, means) for status, (name, means) in _PROBLEMS.items()}


def _problem(status: int, means: str) -> dict[str, Any]:
    code = _CODES[status][0]
    example = {"type": f"urn:relay:problem:{code}", "title": TITLES[code], "status": status, "code": code, "detail": means, "errors": []}
    schema = {"allOf": [ref_to("Problem"), {"properties": {"status": {"const": status}, "code": {"enum": _CODES[status]}}}]}
    return {"description": means, "headers": header_refs(_HEADERS.get(status, ())),
            "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


def _description(operation: Operation) -> str:
    scope = f"Needs the scope `{operation.needs}`." if operation.needs else ""
    return "\n\n".join(part for part in (operation.description, scope) if part)


def _body(operation: Operation) -> dict[str, Any] | None:
    if operation.takes_raw_body:
        return {"required": True, "content": {"*/*": {}}}
    if not operation.takes_body:
        return None
    content: dict[str, Any] = {"schema": ref_to(operation.body.__name__)}
    if operation.example is not None:
        content["example"] = operation.example
    return {"required": not operation.is_body_optional, "content": {"application/json": content}}


def _answer(answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.means, "headers": header_refs(answer.headers)}
    if answer.media_type:
        described["content"] = {answer.media_type: _content(answer)}
    return described


def _content(answer: Answer) -> dict[str, Any]:
    if answer.shape is None:
        return {"schema": {"type": "object"} if answer.media_type == "application/json" else {"type": "string"}}
    if answer.is_page:
        return {"schema": ref_to(page_name(answer.shape))}
    ref = ref_to(answer.shape.__name__)
    if answer.or_shape is not None:
        ref = {"anyOf": [ref, ref_to(answer.or_shape.__name__)]}
    return {"schema": {"type": "array", "items": ref} if answer.is_array else ref}


def _problem_statuses(operation: Operation) -> set[int]:
    return {500, errors.Unavailable.status, *(problem.status for problem in operation.problems), *_implied(operation)}


def _implied(operation: Operation) -> Iterator[int]:
    """What follows from what it takes. A key may name an account that is not there, so 404 is possible wherever a key is."""
    if not operation.is_open:
        yield from (401, 403, 404, 422)
    if operation.query is not NoQuery:
        yield 422
    if operation.takes_body:
        yield from (400, 413, 415, 422)
