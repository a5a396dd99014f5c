"""The wire format of Kie.ai's Flux Kontext API.

Sources: the page "Generate or edit image" (docs.kie.ai/flux-kontext-api), marked [page]; its sister pages on callbacks, image
details and webhook verification (docs.kie.ai/flux-kontext-api, docs.kie.ai/common-api), marked [docs]; what independent
public clients had to cope with, marked [clients].

- The truth of an answer is `code` in its body: most failures come with HTTP 200 [clients].
- A result link lives 14 days, the link to the original 10 minutes [docs], so only the result link is read.
- Types differ between the documents and the field (times as text or milliseconds, `response` null, an object or JSON in a
  string) [clients]; the structs below take what was seen, and only the fields that Relay reads.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from msgspec import Raw, Struct

from relay.model import ErrorCode
from relay.ports import Limits, Parameter, Rate
from relay.providers.parameters import FLAG, PROMPT, Table

BASE_URL: Final = "https://api.kie.ai"
SUBMIT_PATH: Final = "/api/v1/flux/kontext/generate"  # [page]
RECORD_PATH: Final = "/api/v1/flux/kontext/record-info"  # [docs]

MODELS: Final = ("flux-kontext-pro", "flux-kontext-max")  # [page]; the first is the default
ASPECT_RATIOS: Final = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")  # [page]
DEFAULT_ASPECT_RATIO: Final = "16:9"  # [page]
OUTPUT_FORMATS: Final = ("jpeg", "png")  # [page]
DEFAULT_OUTPUT_FORMAT: Final = "jpeg"  # [docs]
MAX_SAFETY_TOLERANCE: Final = 6  # [page], when generating
MAX_SAFETY_TOLERANCE_EDITING: Final = 2  # [page], with an input image

TIMEOUT: Final = 30.0
LIMITS: Final = Limits(max_concurrent=100, rate=Rate(20, 10.0), queries=Rate(10, 1.0))
"""[docs]: 20 new tasks in 10 s, what exceeds that is refused with 429 and not queued; "about 100+" run; 10 queries a second."""
RESULT_LIFETIME: Final = timedelta(days=14)  # [page]
ORIGINAL_LIFETIME: Final = timedelta(minutes=10)  # [docs]
CALLBACK_TIMEOUT: Final = 15.0  # [docs]; seconds they wait for our answer
CALLBACK_RETRIES: Final = (60.0, 300.0, 900.0)  # [docs, older copy]; seconds after the failure

SIGNATURE_HEADER: Final = "x-webhook-signature"  # [docs] base64(HMAC-SHA256(key, taskId + "." + timestamp))
TIMESTAMP_HEADER: Final = "x-webhook-timestamp"  # [docs] unix seconds

OK: Final = 200
CODES: Final = {  # [page]; 400 and 408 [docs]
    400: ErrorCode.MODERATED,
    401: ErrorCode.AUTHENTICATION,
    402: ErrorCode.INSUFFICIENT_CREDITS,
    404: ErrorCode.PROVIDER_ERROR,
    408: ErrorCode.PROVIDER_ERROR,
    422: ErrorCode.INVALID_REQUEST,
    429: ErrorCode.RATE_LIMITED,
    455: ErrorCode.PROVIDER_UNAVAILABLE,
    500: ErrorCode.PROVIDER_ERROR,
    501: ErrorCode.PROVIDER_ERROR,
    505: ErrorCode.PROVIDER_UNAVAILABLE,
}
CODES_NOT_ACCEPTED: Final = frozenset({429, 455})
"""Refusals that pass: too many requests, and maintenance."""

PARAMETERS: Final = {
    "aspect_ratio": Parameter(
        type="string", enum=ASPECT_RATIOS, default=DEFAULT_ASPECT_RATIO,
        description="With an input image: left out, the image's own ratio is kept; given, the result is cropped or padded.",
    ),
    "output_format": Parameter(type="string", enum=OUTPUT_FORMATS, default=DEFAULT_OUTPUT_FORMAT),
    "image": Parameter(type="string", description="The picture to edit, as a URL that Kie can reach."),
    "prompt_upsampling": Parameter(type="boolean", default=False),
    "safety_tolerance": Parameter(
        type="integer", minimum=0, maximum=MAX_SAFETY_TOLERANCE, default=2,
        description="0 is the strictest. With an input image at most 2.",
    ),
    "watermark": Parameter(type="string", description="The identifier of the watermark to add."),
    "translate": Parameter(type="boolean", default=True, description="Translate the prompt to English, the only language taken."),
}
OPTIONS: Final = {
    "uploadCn": Parameter(type="boolean", default=False, description="Upload through servers in China."),
}
TABLE: Final = Table(
    provider="kie",
    models=dict.fromkeys(MODELS, PARAMETERS),
    names={
        "aspect_ratio": ("aspectRatio",), "output_format": ("outputFormat",), "image": ("inputImage",),
        "prompt_upsampling": ("promptUpsampling",), "safety_tolerance": ("safetyTolerance",), "translate": ("enableTranslation",),
    },
    options=OPTIONS,
)

_TEXT: Final = Parameter(type="string")
FIELDS: Final = {  # in Kie's words [page]; the range of the tolerance is apart, for its refusal has a code of its own
    "prompt": PROMPT,
    "enableTranslation": FLAG,
    "uploadCn": FLAG,
    "inputImage": _TEXT,
    "aspectRatio": Parameter(type="string", enum=ASPECT_RATIOS),
    "outputFormat": Parameter(type="string", enum=OUTPUT_FORMATS),
    "promptUpsampling": FLAG,
    "model": Parameter(type="string", enum=MODELS),
    "callBackUrl": _TEXT,
    "safetyTolerance": Parameter(type="integer"),
    "watermark": _TEXT,
}
"""The body of a request, as Relay takes it where it stands in for Kie."""


def tolerance_problem(order: Mapping[str, Any]) -> str | None:
    """What is wrong with the range of the tolerance, in Kie's words. The other fields are right already."""
    most = MAX_SAFETY_TOLERANCE_EDITING if order.get("inputImage") else MAX_SAFETY_TOLERANCE
    if 0 <= (order.get("safetyTolerance") or 0) <= most:
        return None
    return f"The security tolerance level is out of range and should be 0-{most}"


class Envelope(Struct, frozen=True, kw_only=True):
    """What every answer and every callback is wrapped in."""

    code: int
    msg: Any = None
    data: Raw = Raw(b"null")


class Accepted(Struct, frozen=True, rename="camel"):
    """`data` of a submit answer."""

    task_id: Any = None


class Pictures(Struct, frozen=True, rename="camel"):
    """`response` of a record, and `info` of a callback. `resultUrls` is how some records name the same link [clients]."""

    result_image_url: str | None = None
    origin_image_url: str | None = None
    result_urls: list[str] | None = None


class Record(Struct, frozen=True, kw_only=True, rename="camel"):
    """`data` of record-info. `successFlag`: 0 generating, 1 success, 2 creating the task failed, 3 generating failed [docs]."""

    task_id: Any = None
    success_flag: int | None = None
    response: Raw = Raw(b"null")
    complete_time: Any = None
    error_code: Any = None
    error_message: Any = None


GENERATING: Final = 0
SUCCESS: Final = 1
CREATION_FAILED: Final = 2
GENERATION_FAILED: Final = 3


class CallbackData(Struct, frozen=True, kw_only=True, rename="camel"):
    """`data` of a callback. After a failure the links of `info` are empty strings [docs]. The page on callbacks says `taskId`,
    the one on signatures `task_id`."""

    task_id: Any = None
    info: Pictures | None = None
