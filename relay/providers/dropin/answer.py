"""Answers of a drop-in."""

from typing import Any

import msgspec
from starlette.responses import Response


def json_answer(body: Any, status: int = 200) -> Response:  # noqa: ANN401 -- whatever is JSON
    return Response(msgspec.json.encode(body), status, media_type="application/json")
