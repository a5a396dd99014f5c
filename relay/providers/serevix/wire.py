"""The wire format of Serevix's Flux gateway.

Sources: the page "Image Generation" (docs.serevixai.ai/image-generation/flux/flux-image-generation), marked [page]; its
sister page "Get Result" [result]; the public schema of Black Forest Labs, whose shape the gateway has (api.bfl.ai/openapi.json),
marked [bfl]: facts of that kind are expected here, not promised.

- Nothing is said about webhooks, so there are none: the result is polled.
- The submit answer brings a `polling_url`. Gateways of this shape were seen to hand out one on Black Forest Labs' own
  hosts; our key would go there. So the link is not followed: the gateway's own query is asked with the id.
"""

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from relay.model import ErrorCode
from relay.ports.provider import Limits, Parameter
from relay.providers.parameters import FLAG, IMAGE, PROMPT, SEED, Table

BASE_URL: Final = "https://gateway.serevixai.ai"  # [page]
SUBMIT_PATH: Final = "/flux/v1/"  # [page]; the model follows
RESULT_PATH: Final = "/flux/v1/get_result"  # [page], [result]; ?id=
TIMEOUT: Final = 30.0

LIMITS: Final = Limits(max_concurrent=24)
"""[bfl]: 24 running tasks; the gateway publishes no limit of its own."""

SIZE_STEP: Final = 32  # [page]
OUTPUT_FORMATS: Final = ("jpeg", "png")  # [page]
_SIDE: Final = Parameter(type="integer", minimum=SIZE_STEP, multiple_of=SIZE_STEP,
                         description="pixels; Black Forest Labs' own models take 256 to 1440")

TABLE: Final = Table(
    provider="serevix",
    models={
        "flux-pro-1.1": {  # [page]; the only model it names, of a list kept elsewhere
            "prompt": PROMPT,
            "width": _SIDE,
            "height": _SIDE,
            "seed": SEED,
            "output_format": Parameter(type="string", enum=OUTPUT_FORMATS),
            "image": IMAGE,
            "prompt_upsampling": FLAG,
        },
    },
    is_open=True,
    names={"image": ("image_prompt",)},
    options={"image_prompt": Parameter(type="string", description="base64")},
)

REASONS: Final = {  # [bfl]
    400: ErrorCode.INVALID_REQUEST,
    401: ErrorCode.AUTHENTICATION,
    402: ErrorCode.INSUFFICIENT_CREDITS,
    403: ErrorCode.AUTHENTICATION,
    422: ErrorCode.INVALID_REQUEST,
}


class Status(StrEnum):
    """How a task stands [result for Ready, bfl for the others]. "Task not found" comes with HTTP 404."""

    PENDING = "Pending"
    READY = "Ready"
    REQUEST_MODERATED = "Request Moderated"
    CONTENT_MODERATED = "Content Moderated"
    ERROR = "Error"
    NOT_FOUND = "Task not found"


MODERATION_REASONS: Final = "Moderation Reasons"
"""The key in `details` of a moderated task: a list of words [bfl]."""


class Accepted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a submission: an id and a link [page]; for one with a webhook an id, a status and that webhook [bfl]."""

    id: str
    polling_url: str
    status: str | None = None
    webhook_url: str | None = None


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`result` of a task that is Ready [result]. Times in unix seconds. `sample` is a signed link; in the example it lives
    for ten minutes, as its `se` parameter says."""

    sample: str
    prompt: str | None = None
    seed: int | None = None
    start_time: float | None = None
    end_time: float | None = None
    duration: float | None = None


class ResultBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a query [result, bfl]. `progress` is a share of 1."""

    id: str
    status: str
    result: Result | None
    progress: float | None = None
    details: dict[str, Any] | None = None
