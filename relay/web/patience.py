"""How long a caller is willing to wait for an answer: `?wait=N`, or the header `Prefer: wait=N` (RFC 7240)."""

import re
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from relay.web.operation import Call

LONGEST: Final = 60
_PREFERENCE: Final = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?', re.IGNORECASE)


class WaitQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`wait`: seconds, cut to 60; it outdoes the header."""

    wait: Annotated[int, Meta(ge=0)] | None = None


class Patience(Struct, frozen=True, kw_only=True):
    """`seconds` to wait, 0 for not at all; `headers` say what was made of the header's wish."""

    seconds: int
    headers: dict[str, str]


def patience_of(call: Call[WaitQuery, Any]) -> Patience:
    """A preference that cannot be read is passed over, as the RFC asks."""
    if call.query.wait is not None:
        return Patience(seconds=min(call.query.wait, LONGEST), headers={})
    preferred = _preferred(call.request.headers.getlist("prefer"))
    if preferred is None:
        return Patience(seconds=0, headers={})
    seconds = min(preferred, LONGEST)
    return Patience(seconds=seconds, headers={"preference-applied": f"wait={seconds}"})


def _preferred(lines: list[str]) -> int | None:
    """The first one counts."""
    for preference in ",".join(lines).split(","):
        if match := _PREFERENCE.fullmatch(preference):
            return int(match[1])
    return None
