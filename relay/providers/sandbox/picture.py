"""Pictures: drawn from a hash, with the prompt on them; the only home of Pillow among the providers.

A picture is drawn as indices into a palette of our own, one byte a pixel: a third of the work of RGB in every step, and PNG
keeps it that way. The first 32 colours are greys, for the prompt on its dark panel; the others a ring of colours.
"""

import asyncio
import functools
import hashlib
import io
import math
import random
import textwrap
from collections import OrderedDict
from typing import Final, Literal

from msgspec import Struct
from PIL import Image, ImageChops, ImageDraw, ImageFont

Format = Literal["jpeg", "png", "webp"]

_GREYS: Final = 32
_COLOURS: Final = 256 - _GREYS
_LARGEST_TEXT: Final = 280
_SMALLEST_SIDE_WITH_TEXT: Final = 96
_PIXELS: Final = 1024 * 1024
_OPTIONS: Final[dict[Format, dict[str, int]]] = {"jpeg": {}, "png": {"compress_level": 1}, "webp": {"method": 0}}


class Drawing(Struct, frozen=True, kw_only=True):
    """All that a picture depends on. `key` is the hash of prompt and seed; `quality` 0 to 100, ignored for PNG."""

    key: bytes
    text: str
    width: int
    height: int
    format: Format
    quality: int = 85
    watermark: str = ""

    @property
    def content_type(self) -> str:
        return f"image/{self.format}"


def key_for(prompt: str, seed: int | None, variant: str = "") -> bytes:
    """What tells two pictures apart: prompt, seed, and e.g. the number of a picture among several."""
    return hashlib.blake2b(f"{seed}\n{variant}\n{prompt}".encode(), digest_size=16).digest()


def text_for(prompt: str) -> str:
    """As much of a prompt as fits on a picture."""
    text = " ".join("".join(char if char.isprintable() else " " for char in prompt[:2 * _LARGEST_TEXT]).split())
    return text if len(text) <= _LARGEST_TEXT else text[:_LARGEST_TEXT - 1] + "…"


def size_for_ratio(ratio: str) -> tuple[int, int]:
    """Width and height of about a megapixel, in multiples of 16, for a ratio such as `16:9`."""
    across, down = (int(part) for part in ratio.split(":"))
    return tuple(max(16, round(math.sqrt(_PIXELS * share) / 16) * 16) for share in (across / down, down / across))  # type: ignore[return-value]


def is_picture(data: bytes) -> bool:
    """Whether the bytes begin like a picture that can be opened."""
    try:
        with Image.open(io.BytesIO(data)):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def draw(drawing: Drawing) -> bytes:
    """The picture as a file. The same drawing gives the same bytes."""
    chance = random.Random(drawing.key)  # noqa: S311 -- for looks, and the same each time
    image = _shapes(drawing.width, drawing.height, chance)
    if min(drawing.width, drawing.height) >= _SMALLEST_SIDE_WITH_TEXT:
        _write(image, drawing.text, at_bottom=True)
        _write(image, drawing.watermark, at_bottom=False)
    image.putpalette(_palette(chance))
    file = io.BytesIO()
    flat = image if drawing.format == "png" else image.convert("RGB")
    flat.save(file, drawing.format, quality=drawing.quality, **_OPTIONS[drawing.format])
    return file.getvalue()


class Studio:
    """Draws in threads and keeps the latest files, up to `cache_bytes` in all."""

    def __init__(self, cache_bytes: int = 32 * 1024 * 1024) -> None:
        self._left = cache_bytes
        self._files: OrderedDict[Drawing, bytes] = OrderedDict()

    async def file(self, drawing: Drawing) -> bytes:
        if drawing in self._files:
            self._files.move_to_end(drawing)
            return self._files[drawing]
        data = await asyncio.to_thread(draw, drawing)
        self._keep(drawing, data)
        return data

    def _keep(self, drawing: Drawing, data: bytes) -> None:
        if drawing in self._files:
            return
        self._files[drawing] = data
        self._left -= len(data)
        while self._left < 0:
            _, oldest = self._files.popitem(last=False)
            self._left += len(oldest)


def _shapes(width: int, height: int, chance: random.Random) -> Image.Image:
    """Clouds of colour, shifted along the ring inside a few discs."""
    field = Image.frombytes("L", (5, 5), chance.randbytes(25)).resize((width, height), Image.Resampling.BICUBIC)
    discs = Image.new("L", (width, height))
    pen = ImageDraw.Draw(discs)
    for _ in range(7):
        x, y, radius = chance.uniform(0, width), chance.uniform(0, height), chance.uniform(0.05, 0.35) * min(width, height)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=chance.randrange(16, 96))
    return ImageChops.add_modulo(field, discs).point([_GREYS + value * _COLOURS // 256 for value in range(256)])


def _write(image: Image.Image, text: str, *, at_bottom: bool) -> None:
    """Text on a dark panel along the bottom, or in the corner at the top."""
    if not text:
        return
    size = max(12, min(image.size) // 30)
    margin = size // 2
    lines = textwrap.wrap(text, width=max(1, int((image.width - 2 * margin) / (0.56 * size))))[:max(1, image.height // (3 * size))]
    deep = round(1.3 * size * len(lines)) + 2 * margin
    top = image.height - deep if at_bottom else 0
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, top, image.width, top + deep), fill=2)
    for number, line in enumerate(lines):
        pen.text((margin, top + margin + 1.3 * size * number), line, font=_font(size), fill=_GREYS - 1)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _palette(chance: random.Random) -> list[int]:
    """Greys, then a ring through five colours."""
    stops = [tuple(chance.randrange(20, 250) for _ in range(3)) for _ in range(5)]
    palette = [grey * 255 // (_GREYS - 1) for grey in range(_GREYS) for _ in range(3)]
    for index in range(_COLOURS):
        place, share = divmod(index * len(stops) / _COLOURS, 1)
        here, there = stops[int(place)], stops[(int(place) + 1) % len(stops)]
        palette += [round(a + (b - a) * share) for a, b in zip(here, there, strict=True)]
    return palette
