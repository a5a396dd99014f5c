"""The wire format of Segmind's Flux 1.1 Pro, version 1: one call, held until the picture is its answer.

Sources: the model's page (segmind.com/models/flux-1.1-pro/api), marked [page]; Segmind's published list of error codes and
conventions, marked [codes]; the asynchronous version 2 as docs.segmind.com and the official SDK have it, marked [v2]; the
same model behind the same wrapper on Replicate, marked [twin].

- The page shows no values for its two enums. `aspect_ratio` is from [twin], so it is advisory. The output formats are [twin]
  too, but they are enforced: each occurs on the page (webp as default, png in the sample, jpeg as the answer), Relay's own
  word list ends there, and an answer in another format would be paid for and not be recognised.
- Sizes: the page says that what is no multiple of 16 is rounded, so it is not an error; and that width and height count only
  with aspect_ratio `custom`.
- No header of the answer is promised.
"""

from typing import Final

from msgspec import Struct

from relay.model import ErrorCode
from relay.ports import Limits, Parameter
from relay.providers.parameters import FLAG, PROMPT, SEED, Table

BASE_URL: Final = "https://api.segmind.com"
PATH: Final = "/v1/flux-1.1-pro"  # [page]
KEY_HEADER: Final = "x-api-key"  # [page]; a Bearer token is refused [codes]
CREDITS_HEADER: Final = "x-remaining-credits"  # [page]
REQUEST_ID_HEADER: Final = "x-request-id"  # [codes]
COST_HEADER: Final = "x-cost"  # [codes]
TIME_HEADER: Final = "x-generation-time"  # [codes]; in seconds
SEED_HEADER: Final = "x-seed-value"  # [codes]

MODEL: Final = "flux-1.1-pro"
MIN_SIDE: Final = 256  # [page]
MAX_SIDE: Final = 1440  # [page]
SIDE_STEP: Final = 16  # [page]; what is no multiple is rounded to the nearest
DEFAULT_SIDE: Final = 1024  # [page]
CUSTOM: Final = "custom"  # [page]
ASPECT_RATIOS: Final = ("1:1", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3")  # [twin], beside custom
DEFAULT_ASPECT_RATIO: Final = "1:1"  # [page]
OUTPUT_FORMATS: Final = {"jpeg": "jpg", "png": "png", "webp": "webp"}  # Relay's name -> theirs [twin]
DEFAULT_OUTPUT_FORMAT: Final = "webp"  # [page]
DEFAULT_SEED: Final = 1  # [page]
DEFAULT_QUALITY: Final = 80  # [page]
MIN_SAFETY_TOLERANCE: Final = 1  # [page]
MAX_SAFETY_TOLERANCE: Final = 5  # [page]

TIMEOUT: Final = 180.0
LIMITS: Final = Limits(max_concurrent=24)
"""Not theirs, which is not published: a modest one of ours, that of Black Forest Labs themselves."""
MAX_PICTURE_BYTES: Final = 32 * 1024 * 1024
"""The largest picture, 1440 x 1440, has 6 MiB uncompressed."""

STATUSES: Final = {  # [page]; 400, 403, 410, 413, 422 [codes] or plain HTTP. 406 means more than credits: the text tells
    400: ErrorCode.INVALID_REQUEST,
    401: ErrorCode.AUTHENTICATION,
    402: ErrorCode.INSUFFICIENT_CREDITS,
    403: ErrorCode.AUTHENTICATION,
    404: ErrorCode.INVALID_REQUEST,
    405: ErrorCode.INVALID_REQUEST,
    406: ErrorCode.INSUFFICIENT_CREDITS,
    410: ErrorCode.INVALID_REQUEST,
    413: ErrorCode.INVALID_REQUEST,
    415: ErrorCode.INVALID_REQUEST,
    422: ErrorCode.INVALID_REQUEST,
    500: ErrorCode.PROVIDER_ERROR,
}

PARAMETERS: Final = {
    "width": Parameter(
        type="integer", minimum=MIN_SIDE, maximum=MAX_SIDE, default=DEFAULT_SIDE,
        description="In pixels; rounded by the provider to a multiple of 16. Not together with aspect_ratio.",
    ),
    "height": Parameter(
        type="integer", minimum=MIN_SIDE, maximum=MAX_SIDE, default=DEFAULT_SIDE,
        description="In pixels; rounded by the provider to a multiple of 16. Not together with aspect_ratio.",
    ),
    "aspect_ratio": Parameter(type="string", enum=ASPECT_RATIOS, default=DEFAULT_ASPECT_RATIO, advisory=True),
    "seed": Parameter(type="integer", default=DEFAULT_SEED),
    "output_format": Parameter(type="string", enum=tuple(OUTPUT_FORMATS), default=DEFAULT_OUTPUT_FORMAT),
    "safety_tolerance": Parameter(
        type="integer", minimum=MIN_SAFETY_TOLERANCE, maximum=MAX_SAFETY_TOLERANCE, default=2, description="1 is the strictest.",
    ),
    "prompt_upsampling": Parameter(type="boolean", default=True),
}
OPTIONS: Final = {
    "output_quality": Parameter(
        type="integer", minimum=0, maximum=100, default=DEFAULT_QUALITY, description="Of jpeg and webp; 100 is the best.",
    ),
    "output_format": Parameter(type="string", enum=tuple(OUTPUT_FORMATS.values()), default=DEFAULT_OUTPUT_FORMAT, advisory=True),
}
TABLE: Final = Table(
    provider="segmind",
    models={MODEL: PARAMETERS},
    names={"width": ("width", "aspect_ratio"), "height": ("height", "aspect_ratio")},  # sent with aspect_ratio `custom`
    options=OPTIONS,
)

_SIDE: Final = Parameter(type="integer", minimum=MIN_SIDE, maximum=MAX_SIDE)
FIELDS: Final = {  # in Segmind's words; the page shows no ratios, so any of a sensible form is taken
    "prompt": PROMPT,
    "seed": SEED,
    "width": _SIDE,
    "height": _SIDE,
    "aspect_ratio": Parameter(type="string", pattern=r"custom|[1-9][0-9]?:[1-9][0-9]?", description="custom or WIDTH:HEIGHT"),
    "output_format": Parameter(type="string", enum=tuple(OUTPUT_FORMATS.values())),
    "output_quality": Parameter(type="integer", minimum=0, maximum=100),
    "safety_tolerance": Parameter(type="integer", minimum=MIN_SAFETY_TOLERANCE, maximum=MAX_SAFETY_TOLERANCE),
    "prompt_upsampling": FLAG,
}
"""The body of a request, as Relay takes it where it stands in for Segmind."""


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What version 2 says of a request [v2]: when it is taken, how it stands, and its result. Each of the three has a part of the
    fields. `output`: the link to the picture. `metrics`: cost, remaining_credits, and times in seconds."""

    request_id: str
    status: str
    poll_url: str | None = None
    status_url: str | None = None
    response_url: str | None = None
    output: str | None = None
    error: str | None = None
    metrics: dict[str, float] | None = None
