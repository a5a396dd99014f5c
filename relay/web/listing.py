"""The query parameters that lists share."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

Limit = Annotated[int, Meta(ge=1, le=200, description="How many at most, 1 to 200.")]
Text = Annotated[str, Meta(min_length=1, max_length=256)]
Cursor = Annotated[str, Meta(pattern="^[a-z]{3,4}_[0-9a-z]{1,40}$", description="`next_cursor` of the page before.")]
When = Annotated[datetime, Meta(tz=True, description="RFC 3339, such as 2026-01-31T12:00:00Z.")]


class ListQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of a list, newest first."""

    limit: Limit = 50
    cursor: Cursor | None = None
