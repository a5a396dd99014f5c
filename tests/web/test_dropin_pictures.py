"""Pictures that an app wants in the answer, and that their maker gave links to: fetched by Relay, all at the same time."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.e2e.harness import serving
from tests.e2e.upstream import pixel
from tests.web.conftest import House, read_json, relay_in

pytestmark = pytest.mark.anyio

PICTURES = 3


class Maker:
    """YEScale: answers with links. No picture is given before all are asked for, and the last one only if it `is_whole`."""

    def __init__(self, *, is_whole: bool) -> None:
        self._all_asked = asyncio.Barrier(PICTURES)
        self._is_whole = is_whole

    async def generate(self, request: Request) -> Response:
        links = [{"url": str(request.url_for("picture", number=number))} for number in range(PICTURES)]
        return JSONResponse({"created": 1, "data": links})

    async def picture(self, request: Request) -> Response:
        number = request.path_params["number"]
        await self._all_asked.wait()
        if number == PICTURES - 1 and not self._is_whole:
            return Response(status_code=404)
        return Response(pixel() + b"%d" % number, media_type="image/png")

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/images/generations", self.generate, methods=["POST"]),
                                 Route("/{number:int}.png", self.picture, name="picture")])


@asynccontextmanager
async def answer_of(maker: Maker, folder: Path) -> AsyncIterator[httpx.Response]:
    async with serving(maker.app()) as url, AsyncExitStack() as stack:
        settings = {"RELAY_YESCALE_API_KEY": "secret", "RELAY_YESCALE_BASE_URL": url, "RELAY_DROPIN_YESCALE_HOLD": "20s"}
        house = await House(await stack.enter_async_context(relay_in(folder, **settings)), stack).open()
        wish = {"prompt": "several", "n": PICTURES, "response_format": "b64_json"}
        yield await house.api.post("/dropin/yescale/v1/images/generations", json=wish)


async def test_several_pictures_are_fetched_at_the_same_time_and_given_in_their_order(tmp_path: Path) -> None:
    async with answer_of(Maker(is_whole=True), tmp_path / "data") as answer:
        items = read_json(answer, 200)["data"]
    assert [base64.b64decode(item["b64_json"]) for item in items] == [pixel() + b"%d" % number for number in range(PICTURES)]


async def test_a_picture_that_cannot_be_fetched_is_told_by_what_was_wrong_with_it(tmp_path: Path) -> None:
    async with answer_of(Maker(is_whole=False), tmp_path / "data") as answer:
        message = read_json(answer, 504)["error"]["message"]
    assert "could not be fetched: " in message
    assert "404" in message
