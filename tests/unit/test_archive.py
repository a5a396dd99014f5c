"""The folder of kept pictures."""

import asyncio
import hashlib
import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from relay.archive.local import LocalArchive
from relay.errors import StoreError

pytestmark = pytest.mark.anyio

KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


def draw(kind: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", size, "teal").save(buffer, kind)
    return buffer.getvalue()


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def archive(tmp_path: Path) -> LocalArchive:
    return LocalArchive(tmp_path / "data" / "images")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_picture_is_measured_and_comes_back_byte_for_byte(archive: LocalArchive, kind: str) -> None:
    data = draw(kind)
    image = await archive.keep("img_01abc", data)
    assert (image.id, image.kept, image.content_type, image.width, image.height) == ("img_01abc", True, KINDS[kind], 64, 48)
    assert (image.size_bytes, image.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert image.source_url is None
    assert await archive.read("img_01abc") == (data, KINDS[kind])


async def test_it_is_still_there_for_another_process(archive: LocalArchive, tmp_path: Path) -> None:
    await archive.keep("img_1", draw())
    assert await LocalArchive(tmp_path / "data" / "images").read("img_1") == (draw(), "image/png")


async def test_keeping_it_again_is_harmless(archive: LocalArchive, tmp_path: Path) -> None:
    first, *others = await asyncio.gather(*(archive.keep("img_1", draw()) for _ in range(8)))
    assert all(other == first for other in others)
    assert [path.name for path in files_in(tmp_path)] == ["img_1"]


async def test_pictures_are_spread_over_folders(archive: LocalArchive, tmp_path: Path) -> None:
    await archive.keep("img_01xy", draw())
    await archive.keep("img_01xz", draw())
    assert {path.parent.name for path in files_in(tmp_path)} == {"xy", "xz"}


async def test_a_discarded_picture_is_gone_and_discarding_again_is_harmless(archive: LocalArchive) -> None:
    await archive.keep("img_1", draw())
    await archive.discard("img_1")
    await archive.discard("img_1")
    assert await archive.read("img_1") is None


async def test_an_unknown_picture_is_none(archive: LocalArchive) -> None:
    assert await archive.read("img_1") is None


@pytest.mark.parametrize("image_id", [
    "", "img_", "img_..", "../img_1", "img_1/../../secret", "img_1/x", "/etc/passwd", "img_1\x00", "IMG_1", "img_1\n", "img_ä",
    "task_1", ".", "secret",
])
async def test_an_id_of_another_shape_never_reaches_the_disk(archive: LocalArchive, tmp_path: Path, image_id: str) -> None:
    (tmp_path / "secret").write_bytes(draw())
    (tmp_path / "data" / "images" / "et").mkdir(parents=True)
    (tmp_path / "data" / "images" / "et" / "secret").write_bytes(draw())
    assert await archive.read(image_id) is None
    await archive.discard(image_id)
    with pytest.raises(ValueError, match="no id of a picture"):
        await archive.keep(image_id, draw())
    assert len(files_in(tmp_path)) == 2


@pytest.mark.parametrize("data", [
    b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBP", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"BM" + b"\0" * 60,
    draw("PNG")[:-20], draw("JPEG")[:100], draw("WEBP")[:40], draw("GIF")[:20], draw("PNG").replace(b"IDAT", b"IDAX"),
])
async def test_what_is_no_picture_is_refused_and_leaves_nothing(archive: LocalArchive, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ValueError, match="picture"):
        await archive.keep("img_1", data)
    assert not files_in(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), place=st.floats(0, 1), junk=st.binary(max_size=40))
async def test_a_damaged_picture_is_kept_or_refused_but_nothing_else(archive: LocalArchive, kind: str, place: float, junk: bytes) -> None:
    data = draw(kind)
    start = int(place * len(data))
    damaged = data[:start] + junk + data[start + len(junk):]
    try:
        image = await archive.keep("img_1", damaged)
    except ValueError:
        return
    assert image.size_bytes == len(damaged)


async def test_a_picture_that_would_unpack_to_gigabytes_costs_nothing(archive: LocalArchive) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    image = await archive.keep("img_1", bomb)
    assert (image.width, image.height) == (60_000, 60_000)


async def test_a_write_that_fails_leaves_nothing_behind(archive: LocalArchive, tmp_path: Path) -> None:
    await archive.keep("img_1", draw("PNG"))
    [place] = files_in(tmp_path)
    place.unlink()
    place.mkdir()  # nothing can be renamed onto a folder
    with pytest.raises(StoreError, match="directory"):
        await archive.keep("img_1", draw("GIF"))
    assert not files_in(tmp_path)
