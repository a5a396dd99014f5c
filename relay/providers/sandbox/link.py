"""Links that expire, in the shape of Azure's shared access signatures, and Azure's answer once they have."""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

_EXPIRED: Final = """<?xml version="1.0" encoding="utf-8"?>
<Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request. Make sure the value of \
Authorization header is formed correctly including the signature.
Time:{now}</Message><AuthenticationErrorDetail>Signature not valid in the specified time frame</AuthenticationErrorDetail></Error>"""
_ABSENT: Final = """<?xml version="1.0" encoding="utf-8"?>
<Error><Code>BlobNotFound</Code><Message>The specified blob does not exist.</Message></Error>"""


class LinkSigner:
    """Signs the query of a link with a key that lives as long as the process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def query(self, path: str, content_type: str, expires_at: datetime) -> str:
        """What stands behind the `?`. Whoever loses it has no access."""
        until = expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return urlencode({"se": until, "sp": "r", "sv": "2024-11-04", "sr": "b", "rsct": content_type, "sig": self._sign(path, until)})

    def is_valid(self, path: str, until: str, signature: str, now: datetime) -> bool:
        """`until` and `signature` are the `se` and `sig` of the link."""
        if not hmac.compare_digest(self._sign(path, until).encode(), signature.encode(errors="replace")):
            return False
        return now < datetime.fromisoformat(until)

    def _sign(self, path: str, until: str) -> str:
        return hmac.new(self._key, f"{path}\n{until}".encode(errors="replace"), hashlib.sha256).hexdigest()


def expired(now: datetime) -> Response:
    """What Azure answers when a link's time is over, or its signature wrong."""
    return Response(_EXPIRED.format(now=now.isoformat()), 403, media_type="application/xml")


def absent() -> Response:
    return Response(_ABSENT, 404, media_type="application/xml")
