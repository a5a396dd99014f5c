"""The same request to Relay and to the stand-in of the provider is answered with the same status, and in the same shape."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.clients.relayed import Relayed, new_prompt
from tests.e2e.harness import ADMIN_KEY

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
GENERATE = "/flux/v1/flux-pro-1.1"
RESULT = "/flux/v1/get_result"
IMAGINE = "/flux-imagine"
IMAGES = "/v1/images/generations"

Request = tuple[str, str, Any]
"""Method, path, and the body: JSON, or bytes that are none."""

SEREVIX: dict[str, Request] = {
    "good": ("POST", GENERATE, {}), "a size as floats": ("POST", GENERATE, {"width": 512.0, "height": 256.0}),
    "nulls": ("POST", GENERATE, {"seed": None, "image_prompt": None}), "unknown fields": ("POST", GENERATE, {"steps": 3, "brand_new": [1]}),
    "another model": ("POST", "/flux/v1/flux-dev", {}), "no prompt": ("POST", GENERATE, {"prompt": None}),
    "an empty prompt": ("POST", GENERATE, {"prompt": " "}), "a prompt of numbers": ("POST", GENERATE, {"prompt": 5}),
    "a wrong step": ("POST", GENERATE, {"width": 1000}), "text for a number": ("POST", GENERATE, {"width": "1024", "height": True}),
    "a wrong format": ("POST", GENERATE, {"output_format": "gif"}), "no picture": ("POST", GENERATE, {"image_prompt": "aGVsbG8="}),
    "no base64": ("POST", GENERATE, {"image_prompt": "***"}), "moderated at the end": ("POST", GENERATE, {"prompt": "sandbox:moderated"}),
    "no credits": ("POST", GENERATE, {"prompt": "sandbox:no-credits"}), "no JSON": ("POST", GENERATE, b"{"),
    "a list": ("POST", GENERATE, b"[]"), "nothing": ("POST", GENERATE, b""), "no UTF-8": ("POST", GENERATE, b'{"prompt": "\xff"}'),
    "not posted": ("GET", GENERATE, b""), "a result that is posted": ("POST", RESULT, {}), "no such path": ("POST", "/flux/v3/x", {}),
    "no id": ("GET", RESULT, b""), "an unknown id": ("GET", RESULT + "?id=nobody", b""),
}
APIFRAME: dict[str, Request] = {
    "good": ("POST", IMAGINE, {}), "no model": ("POST", IMAGINE, {"model": None}), "no prompt": ("POST", IMAGINE, {"prompt": None}),
    "nothing of it": ("POST", IMAGINE, {"model": None, "prompt": None}), "an unknown model": ("POST", IMAGINE, {"model": "flux-9"}),
    "a model of numbers": ("POST", IMAGINE, {"model": 9}), "too wide": ("POST", IMAGINE, {"width": 1441, "height": 255}),
    "text for a number": ("POST", IMAGINE, {"seed": "x"}), "too lenient": ("POST", IMAGINE, {"safety_tolerance": 7}),
    "a wrong ratio": ("POST", IMAGINE, {"model": "flux-pro-1.1-ultra", "aspect_ratio": "22:9"}),
    "unknown fields": ("POST", IMAGINE, {"brand_new": {"a": 1}}), "no base64": ("POST", IMAGINE, {"image_prompt": "***"}),
    "no credits": ("POST", IMAGINE, {"prompt": "sandbox:no-credits"}), "no address": ("POST", IMAGINE, {"webhook_url": "there"}),
    "no JSON": ("POST", IMAGINE, b"{"), "a list": ("POST", IMAGINE, b"[]"), "nothing": ("POST", IMAGINE, b""),
    "not posted": ("GET", IMAGINE, b""), "no such path": ("POST", "/imagine", {}), "no id": ("POST", "/fetch", b"{}"),
    "an unknown id": ("POST", "/fetch", b'{"task_id": "nobody"}'), "an id of numbers": ("POST", "/fetch", b'{"task_id": 5}'),
    "one of many": ("POST", "/fetch-many", b'{"task_ids": ["a"]}'), "no list": ("POST", "/fetch-many", b'{"task_ids": "a"}'),
    "many that are unknown": ("POST", "/fetch-many", b'{"task_ids": [1, "b"]}'),
}
YESCALE: dict[str, Request] = {
    "good": ("POST", IMAGES, {}), "with a size": ("POST", IMAGES, {"size": "1280x960"}),
    "bytes": ("POST", IMAGES, {"response_format": "b64_json"}),
    "three": ("POST", IMAGES, {"n": 3}), "nulls": ("POST", IMAGES, {"size": None, "n": None, "model": None}),
    "unknown fields": ("POST", IMAGES, {"quality": "hd", "style": "vivid", "user": "u", "brand_new": [1]}),
    "any model": ("POST", IMAGES, {"model": "dall-e-3"}), "no prompt": ("POST", IMAGES, {"prompt": None}),
    "an empty prompt": ("POST", IMAGES, {"prompt": " "}), "a long prompt": ("POST", IMAGES, {"prompt": "w" * 1001}),
    "a prompt of numbers": ("POST", IMAGES, {"prompt": 5}), "a wrong size": ("POST", IMAGES, {"size": "100x100"}),
    "a size of numbers": ("POST", IMAGES, {"size": 1024}), "too many": ("POST", IMAGES, {"n": 11}), "none": ("POST", IMAGES, {"n": 0}),
    "text for a number": ("POST", IMAGES, {"n": "1"}), "a wrong format": ("POST", IMAGES, {"response_format": "png"}),
    "moderated": ("POST", IMAGES, {"prompt": "sandbox:moderated"}), "no credits": ("POST", IMAGES, {"prompt": "sandbox:no-credits"}),
    "an error": ("POST", IMAGES, {"prompt": "sandbox:error"}), "no JSON": ("POST", IMAGES, b"{"), "a list": ("POST", IMAGES, b"[]"),
    "nothing": ("POST", IMAGES, b""), "not posted": ("GET", IMAGES, b""), "no such path": ("POST", "/v1/images/edits", {}),
}
CASES = [pytest.param(provider, *request, id=f"{provider}: {name}")
         for provider, requests in (("serevix", SEREVIX), ("apiframe", APIFRAME), ("yescale", YESCALE))
         for name, request in requests.items()]
KINDS = ("good", "no JSON", "not posted", "no such path", "no id", "no list")
"""One request of each kind: whether its key is looked at before all else."""


def shape_of(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The types of all that is in a value; of the places of errors what they are, and of messages the field that they begin with."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from shape_of(inner, f"{path}.{name}")
        case list():
            for inner in value:
                yield from shape_of(inner, f"{path}[]")
        case str() if "loc" in path or path.endswith(".type"):
            yield path, value
        case str() if path == ".errors[].msg":
            yield path, value.split()[0]
        case _:
            yield path, type(value).__name__


async def assert_alike(relay: Relayed, key: str, provider: str, method: str, path: str, body: Any) -> None:
    least = {"prompt": new_prompt(), **({"model": "flux-pro"} if provider == "apiframe" else {})}
    sent = {"content": body} if isinstance(body, bytes) else {"json": {**least, **body}}
    async with httpx.AsyncClient(headers={**JSON, "authorization": f"Bearer {key}"}, timeout=30) as client:
        made, stood_in = [await client.request(method, f"{relay.url}{base}/{provider}{path}", **sent) for base in ("/dropin", "")]
    assert made.status_code == stood_in.status_code, (made.text, stood_in.text)
    assert list(dict.fromkeys(shape_of(made.json()))) == list(dict.fromkeys(shape_of(stood_in.json()))), (made.text, stood_in.text)


@pytest.mark.parametrize(("provider", "method", "path", "body"), CASES)
async def test_it_is_answered_alike(relay: Relayed, provider: str, method: str, path: str, body: Any) -> None:
    await assert_alike(relay, ADMIN_KEY, provider, method, path, body)


@pytest.mark.parametrize(("provider", "method", "path", "body"), [case for case in CASES if str(case.id).partition(": ")[2] in KINDS])
async def test_a_wrong_key_is_refused_alike(relay: Relayed, provider: str, method: str, path: str, body: Any) -> None:
    await assert_alike(relay, "bad-key", provider, method, path, body)
