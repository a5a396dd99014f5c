"""The body of a request to those providers that take nothing but JSON."""

from typing import Any

from relay.providers.dropin.visit import Visit
from relay.providers.refusal import Refused, Why


async def read_json(visit: Visit) -> dict[str, Any]:
    """The JSON object. Raises Refused for another content type, once the body is read; and what `Visit.json` raises."""
    kind = media_type(visit)
    if kind != "application/json" and not kind.endswith("+json"):
        await visit.body()
        raise Refused(Why.MEDIA, "The content type must be application/json")
    return await visit.json()


def media_type(visit: Visit) -> str:
    """In lower case, without parameters; empty if the request names none."""
    return visit.request.headers.get("content-type", "").partition(";")[0].strip().lower()
