"""The OpenAPI 3.1 document, made from the operations: what is not routed cannot be described, what is routed always is.

`document` puts it together, `path` describes one operation, `parameter` what stands in URLs and headers, `schema` the structs,
`webhook` what subscribers receive.
"""

from collections.abc import Sequence
from functools import cache

from starlette.responses import Response

from relay.view import to_json
from relay.web.openapi.document import make_document
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation

__all__ = ["describe", "make_document"]

MEDIA_TYPE = "application/json"


def describe(operations: Sequence[Operation]) -> Operation:
    """The operation that shows the document about `operations` and itself."""

    @cache
    def document(server: str) -> bytes:
        return to_json(make_document((*operations, operation), server))

    async def show_document(call: Call[NoQuery, NoBody]) -> Response:
        return Response(document(call.web.seen_from_outside("") or "/"), headers={"cache-control": "no-cache"}, media_type=MEDIA_TYPE)

    operation = Operation(
        method="GET", path="/openapi.json", id="showDocument", tag="Operations", summary="This document", handle=show_document,
        is_open=True, answers={200: Answer(means="OpenAPI 3.1.", media_type=MEDIA_TYPE)},
    )
    return operation
