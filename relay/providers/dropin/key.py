"""Where clients of all providers put the key: `Authorization: Bearer K`, `Authorization: K`, `x-key`, `x-api-key`. All are taken by each
dialect, since it is Relay's key, whatever is written around it, and whatever other key is beside it."""

from collections.abc import Iterator
from typing import Final

from starlette.requests import Request

_HEADERS: Final = ("x-key", "x-api-key")
_MARK: Final = "rly_"


def read_key(request: Request) -> str | None:
    """The bare key: the first that looks like one of ours, else the first of all."""
    keys = list(_keys(request))
    return next((key for key in keys if key.startswith(_MARK)), keys[0] if keys else None)


def _keys(request: Request) -> Iterator[str]:
    authorization = request.headers.get("authorization", "").strip()
    scheme, space, credentials = authorization.partition(" ")
    if authorization:
        yield credentials.strip() if space and scheme.lower() == "bearer" else authorization
    yield from (key.strip() for name in _HEADERS if (key := request.headers.get(name)))
