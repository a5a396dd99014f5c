"""Pictures behind signed links: who holds the link sees the picture, until it expires, and no other."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from relay.signing import Seal
from relay.web.images import make_link, read_token
from tests.web.conftest import PUBLIC_URL, House, problem, read_json, settings_for

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)
ID = "img_00000000000000000000000001"
SEAL = Seal(["k" * 32], "images")


async def kept_image(house: House) -> dict[str, Any]:
    """The picture of a task at Segmind, which answers with the bytes."""
    task = read_json(await house.api.post("/api/v1/tasks?wait=20", json={"provider": "segmind", "prompt": "a lighthouse"}), 200)
    return dict(task["images"][0])


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def test_a_link_opens_its_picture_until_it_expires() -> None:
    url, expires_at = make_link("https://relay.test", SEAL, 60)(ID, NOW)
    token = parse_qs(urlsplit(url).query)["token"][0]
    assert url.startswith(f"https://relay.test/images/{ID}?token=")
    assert expires_at == NOW.replace(microsecond=0) + timedelta(seconds=60)
    assert read_token(SEAL, ID, token) == expires_at


@pytest.mark.parametrize("token", [
    "", ".", "1", "9999999999", "9999999999.", "9999999999.x", f"{ID}.9999999999", "x" * 5000, "\x00", "ü", "\ud800",
], ids=ascii)
def test_a_token_that_was_not_signed_here_opens_nothing(token: str) -> None:
    assert read_token(SEAL, ID, token) is None


def test_a_token_opens_no_other_picture_and_no_longer_time() -> None:
    token = make_link("", SEAL, 60)(ID, NOW)[0].partition("token=")[2]
    expiry, _, signature = token.partition(".")
    assert read_token(SEAL, ID.replace("1", "2"), token) is None
    assert read_token(SEAL, ID, f"{int(expiry) + 1}.{signature}") is None
    assert read_token(Seal(["k" * 32], "callbacks"), ID, token) is None


async def test_a_kept_picture_is_served_as_it_is(house: House) -> None:
    image = await kept_image(house)
    assert image["url"].startswith(f"{PUBLIC_URL}/images/{image['id']}?token=")
    answer = await house.stranger.get(path_of(image["url"]))
    assert answer.status_code == 200
    assert len(answer.content) == image["size_bytes"]
    assert Image.open(io.BytesIO(answer.content)).size == (image["width"], image["height"])
    assert answer.headers["content-type"] == image["content_type"] == "image/png"
    assert answer.headers["content-disposition"] == f'inline; filename="{image["id"]}.png"'
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_picture_may_be_kept_by_the_browser_until_the_link_expires(house: House) -> None:
    image = await kept_image(house)
    answer = await house.stranger.get(path_of(image["url"]))
    left = datetime.fromisoformat(image["expires_at"]) - datetime.now(UTC)
    private, max_age, immutable = answer.headers["cache-control"].split(", ")
    assert (private, immutable) == ("private", "immutable")
    assert abs(int(max_age.removeprefix("max-age=")) - left.total_seconds()) < 10
    known = await house.stranger.get(path_of(image["url"]), headers={"if-none-match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


async def test_asking_for_the_head_brings_no_bytes(house: House) -> None:
    image = await kept_image(house)
    answer = await house.stranger.head(path_of(image["url"]))
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", str(image["size_bytes"]))


async def test_a_changed_or_absent_token_is_not_found(house: House) -> None:
    image = await kept_image(house)
    path = path_of(image["url"])
    for wrong in (urlsplit(path).path, path[:-1] + ("A" if path[-1] != "A" else "B"), path.replace("token=", "token=1")):
        problem(await house.stranger.get(wrong), 404, "not_found")
        problem(await house.api.get(wrong), 404, "not_found")


async def test_an_expired_link_says_so(separate: House, tmp_path: Path) -> None:
    image = await kept_image(separate)
    seal = Seal(settings_for(tmp_path / "data", "http://unused").secret_keys, "images")
    fresh, stale = (make_link("", seal, ttl)(image["id"], datetime.now(UTC))[0] for ttl in (60, -1))
    assert (await separate.stranger.get(fresh)).status_code == 200
    assert "expired" in problem(await separate.stranger.get(stale), 403, "forbidden")["detail"]


async def test_an_erased_picture_is_gone_though_the_link_has_not_expired(house: House) -> None:
    task = read_json(await house.api.post("/api/v1/tasks?wait=20", json={"provider": "segmind", "prompt": "a secret place"}), 200)
    path = path_of(task["images"][0]["url"])
    assert (await house.stranger.get(path)).status_code == 200
    read_json(await house.api.delete(f"/api/v1/tasks/{task['id']}"), 200)
    problem(await house.stranger.get(path), 404, "not_found")
