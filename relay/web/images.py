"""Pictures behind signed links that expire. The link is the permission: whoever holds it sees the picture, until then.

`token` is `EXPIRY.SIGNATURE`, the signature being over `IMAGE_ID.EXPIRY`; a token is good for its own picture only.
"""

from datetime import UTC, datetime, timedelta

from msgspec import Struct
from starlette.responses import Response

from relay.errors import Forbidden, NotFound
from relay.signing import Seal
from relay.view import Link
from relay.web.operation import Answer, Call, NoBody, Operation

_SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "cross-origin",
}


def make_link(public_url: str, seal: Seal, ttl: float) -> Link:
    """Links under `public_url` that open for `ttl` seconds."""

    def link(image_id: str, now: datetime) -> tuple[str, datetime]:
        expires_at = (now + timedelta(seconds=ttl)).replace(microsecond=0)
        signed = seal.sign(f"{image_id}.{int(expires_at.timestamp())}")
        return f"{public_url}/images/{image_id}?token={signed.removeprefix(image_id + '.')}", expires_at

    return link


def read_token(seal: Seal, image_id: str, token: str) -> datetime | None:
    """When this token stops opening this picture, or None if it is not one of ours."""
    value = seal.read(f"{image_id}.{token}")
    expiry = value.removeprefix(image_id + ".") if value else ""
    return datetime.fromtimestamp(int(expiry), UTC) if expiry.isdecimal() else None


class ImageQuery(Struct, frozen=True, kw_only=True):
    """`token` stands in the link."""

    token: str = ""


async def show_image(call: Call[ImageQuery, NoBody]) -> Response:
    image_id = call.id_of("image_id")
    expires_at = read_token(call.web.image_seal, image_id, call.query.token)
    if expires_at is None:
        raise NotFound("There is no picture behind this link.")
    left = int((expires_at - call.web.clock()).total_seconds())
    if left <= 0:
        raise Forbidden("This link has expired. GET the task for a fresh one.")
    kept = await call.web.archive.read(image_id)
    if kept is None:
        raise NotFound("This picture is no longer kept.")
    data, content_type = kept
    headers = {**_HEADERS, "etag": f'"{image_id}"', "cache-control": f"private, max-age={left}, immutable"}
    if call.request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    headers["content-disposition"] = f'inline; filename="{image_id}.{_SUFFIXES.get(content_type, "bin")}"'
    return Response(data, headers=headers, media_type=content_type)


OPERATIONS = (
    Operation(
        method="GET", path="/images/{image_id}", id="showImage", tag="Images", summary="A picture that Relay keeps", handle=show_image,
        description="The link, as it stands in `images[].url`, is the permission. It expires; GET the task for a fresh one.",
        is_open=True, query=ImageQuery, problems=(NotFound, Forbidden),
        answers={
            200: Answer(means="The picture.", media_type="image/*"),
            304: Answer(means="The picture is the one you have.", media_type=""),
        },
    ),
)
