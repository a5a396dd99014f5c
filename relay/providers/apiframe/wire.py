"""The wire format of APIFRAME's v1 API, endpoint flux-imagine.

Sources: the page "Imagine" (docs.apiframe.ai/flux/imagine), marked [page]; the pages on webhooks, on fetching and on the account
(docs.apiframe.ai/webhooks, /api-endpoints/fetch, fetch-many, account-info), marked [docs]; what APIFRAME's own SDK and public clients
had to cope with, marked [clients].

- Progress and the end come to the same webhook, mixed. The documented end has no `status`: a picture is the sign of success.
- The body of a failure is not documented: `status: "failed"` with `message` (or `error`) is what clients read.
- `webhook_secret` comes back as it is in the header x-webhook-secret; there is no signature.
"""

from typing import Final

from msgspec import Struct

from relay.model import ErrorCode
from relay.ports.provider import Limits, Parameter
from relay.providers.parameters import FLAG, IMAGE, PROMPT, SEED, Table

BASE_URL: Final = "https://api.apiframe.pro"  # [page]
SUBMIT_PATH: Final = "/flux-imagine"  # [page]
FETCH_PATH: Final = "/fetch"  # [docs]
FETCH_MANY_PATH: Final = "/fetch-many"  # [docs]
ACCOUNT_PATH: Final = "/account"  # [docs]
FEWEST_FETCHED: Final = 2  # [docs]
MOST_FETCHED: Final = 20  # [docs]
TIMEOUT: Final = 30.0
ECHO_HEADER: Final = "x-webhook-secret"  # [page]
TASK_TYPE: Final = "flux-imagine"  # [page]

LIMITS: Final = Limits(max_concurrent=24)
"""Our own choice: APIFRAME publishes no limit, and what stands behind it allows 24 running tasks."""

MIN_SIDE: Final = 256  # [page]
MAX_SIDE: Final = 1440  # [page]
WIDEST: Final = 21 / 9  # [page]
TALLEST: Final = 9 / 21  # [page]

ULTRA: Final = "flux-pro-1.1-ultra"  # [page]; its shape is a ratio
WIDTH: Final = 1024  # [page], as the next two: what rules where nothing is given
HEIGHT: Final = 768
RATIO: Final = "16:9"

_ALL: Final = {  # [page]
    "prompt": PROMPT,
    "width": Parameter(type="integer", minimum=MIN_SIDE, maximum=MAX_SIDE, default=WIDTH),
    "height": Parameter(type="integer", minimum=MIN_SIDE, maximum=MAX_SIDE, default=HEIGHT),
    "seed": SEED,
    "image": IMAGE,
    "prompt_upsampling": FLAG,
    "safety_tolerance": Parameter(type="integer", minimum=0, maximum=6, description="0 is the strictest"),
}
_ULTRA: Final = {  # [page]
    "aspect_ratio": Parameter(type="string", pattern=r"[1-9][0-9]{0,3}:[1-9][0-9]{0,3}", default=RATIO,
                              description="WIDTH:HEIGHT between 21:9 and 9:21"),
    "image_strength": Parameter(type="number", minimum=0, maximum=1),
    "raw": FLAG,
}
_STEPPED: Final = {  # [page] without limits; those are Black Forest Labs' for flux-dev
    "steps": Parameter(type="integer", minimum=1, maximum=50, advisory=True),
    "guidance": Parameter(type="number", minimum=1.5, maximum=5, advisory=True),
}
_INTERVAL: Final = {"interval": Parameter(type="integer", minimum=1, maximum=4, default=2)}  # [page]

TABLE: Final = Table(
    provider="apiframe",
    models={  # [page]
        "flux-pro-1.1": _ALL,
        ULTRA: {**_ALL, **_ULTRA},
        "flux-pro": {**_ALL, **_STEPPED, **_INTERVAL},
        "flux-dev": {**_ALL, **_STEPPED},
    },
    names={"image": ("image_prompt",), "image_strength": ("image_prompt_strength",)},
    options={"image_prompt": Parameter(type="string", description="base64")},
)

REASONS: Final = {  # 400 and 401 [page]
    400: ErrorCode.INVALID_REQUEST,
    401: ErrorCode.AUTHENTICATION,
    402: ErrorCode.INSUFFICIENT_CREDITS,
    403: ErrorCode.AUTHENTICATION,
}

FINISHED: Final = frozenset({"finished", "completed", "complete", "succeeded", "success"})  # the first one [docs], the others [clients]
FAILED: Final = frozenset({"failed", "error"})  # [clients]
WAITING: Final = frozenset({"pending", "staged", "queued"})  # [clients]; every other word is that of a running task


class Accepted(Struct, frozen=True, kw_only=True):
    """The answer to a submission [page]."""

    task_id: str


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a task stands: the body of a webhook, and the answer of fetch [page]. Only what applies is there."""

    task_id: str
    task_type: str
    status: str | None = None
    percentage: int | None = None
    original_image_url: str | None = None
    image_url: str | None = None
    message: str | None = None


class Account(Struct, frozen=True, kw_only=True):
    """The answer to a question about the account [docs]."""

    email: str
    credits: int
    total_images: int
    plan: str
