"""Pages that come with Relay: one file each, nothing from outside. Their own style and script are allowed by hash, all else is not."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.responses import Response

_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def show_page(name: str, **words: str) -> Response:
    """The page `static/NAME.html`. `words` stand in for `{{WORD}}` in its text; they are ours, nobody else's."""
    text, policy = _read(name)
    for word, value in words.items():
        text = text.replace(f"{{{{{word}}}}}", value)
    return Response(text, headers={"content-security-policy": policy, "cache-control": "no-cache"}, media_type="text/html")


@cache
def _read(name: str) -> tuple[str, str]:
    text = files("relay.web").joinpath("static", f"{name}.html").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src {_hashes(_STYLE, text)}; script-src {_hashes(_SCRIPT, text)}; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


def _hashes(part: re.Pattern[str], text: str) -> str:
    digests = [hashlib.sha256(found.encode()).digest() for found in part.findall(text)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
