"""The wire format of YEScale's Flux: OpenAI's image generation, held until it is done.

Sources: YEScale's page "Flux (OpenAI dall-e-3 format)", marked [page]; the types of the official openai-python library,
marked [openai]; the source of one-api and new-api, the gateways whose errors this family speaks, marked [gateway].

- The page names prompt, model, n and size. Whether quality, style, user and response_format count for Flux is unknown; they
  are options, passed on. Models are not listed on it either: any name is taken.
- `data` may be absent, and each field of an item null [openai]: the picture is `b64_json` if that is a text that is not
  empty, else `url`.
- How long a link lives is unknown. OpenAI's live 60 minutes [openai], those of gateways that hand on the maker's link 10:
  the shorter is assumed.
"""

from datetime import timedelta
from typing import Any, Final

from msgspec import Struct

from relay.ports import Limits, Parameter
from relay.providers.parameters import Table

PATH: Final = "/v1/images/generations"  # [page]

DEFAULT_MODEL: Final = "flux-pro"  # [page], its example
MODELS: Final = (DEFAULT_MODEL, "flux", "flux-dev")  # the latter two on sister gateways; advisory
MAX_PROMPT: Final = 1000  # [page]; characters
MIN_IMAGES: Final = 1  # [page]
MAX_IMAGES: Final = 10  # [page]
SIZES: Final = (  # [page]
    "1024x512", "1024x1024", "1024x576", "1024x768", "512x1024", "512x768",
    "1280x960", "960x1280", "768x1366", "768x512", "1366x768", "1344x576",
)
DEFAULT_SIZE: Final = "1024x1024"  # [openai]
RESPONSE_FORMATS: Final = ("url", "b64_json")  # [openai]
LINK_LIFETIME: Final = timedelta(minutes=10)  # assumed, see above
REQUEST_ID_HEADER: Final = "x-request-id"  # [openai]

TIMEOUT: Final = 180.0
LIMITS: Final = Limits(max_concurrent=24)
"""Not theirs, which is not published: a modest one of ours, that of Black Forest Labs themselves."""
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Ten pictures of 1280 x 960 in base64, uncompressed, have 49 MB."""

QUOTA_CODES: Final = frozenset({  # [openai] the first, [gateway] the others
    "insufficient_quota", "insufficient_user_quota", "pre_consume_token_quota_failed",
})
MODERATION_CODES: Final = frozenset({  # [openai] the first two, [gateway] the others
    "content_policy_violation", "moderation_blocked", "sensitive_words_detected", "prompt_blocked",
})

SIZE_RULE: Final = "width x height must be one of " + ", ".join(SIZES)

PARAMETERS: Final = {
    "prompt": Parameter(type="string", max_length=MAX_PROMPT),
    "width": Parameter(type="integer", description=SIZE_RULE),
    "height": Parameter(type="integer", description=SIZE_RULE),
    "n": Parameter(type="integer", minimum=MIN_IMAGES, maximum=MAX_IMAGES, default=1),
}
OPTIONS: Final = {
    "size": Parameter(type="string", enum=SIZES, default=DEFAULT_SIZE),
    "response_format": Parameter(type="string", enum=RESPONSE_FORMATS, default="url"),
    "stream": Parameter(type="boolean", enum=(False,), default=False, description="the answer is read whole"),
}
TABLE: Final = Table(
    provider="yescale",
    models=dict.fromkeys(MODELS, PARAMETERS),
    is_open=True,
    names={"width": ("size",), "height": ("size",)},
    options=OPTIONS,
)


class Item(Struct, frozen=True, kw_only=True):
    """One picture of an answer."""

    b64_json: str | None = None
    revised_prompt: str | None = None
    url: str | None = None


class Generated(Struct, frozen=True, kw_only=True):
    """The answer. `created` in unix seconds."""

    created: int
    data: list[Item]


class ApiError(Struct, frozen=True, kw_only=True):
    """`error` of an answer that failed. `code` is a text, a number or absent; `param` may be the status of the server
    behind, as text [gateway]."""

    message: str
    type: str
    param: Any = None
    code: Any = None


class Failed(Struct, frozen=True):
    """The envelope of an error."""

    error: ApiError
