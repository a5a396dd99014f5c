"""YEScale, Flux in OpenAI's format. Of its own page: the request and the answer. The errors are those of OpenAI and of the
gateways of its family."""

import base64
from datetime import timedelta
from typing import Any

from relay.errors import Fate, Invalid, Unsupported
from relay.model import ErrorCode, Picture, TaskError, TaskStatus, Update
from tests.providers.cases import KEY, NOW, PNG, Case, Check, Exchange, Refused, Submission, Told, new_task
from tests.providers.upstream import Reply

PATH = "/v1/images/generations"
HEADERS = {"authorization": f"Bearer {KEY}"}
FIELDS = {"width", "height", "n"}
LINK = "https://sf-maas.example/outputs/3aa7758a_0.png?Expires=1&Signature=a%2Bb"
SIZES = "1024x512, 1024x1024, 1024x576, 1024x768, 512x1024, 512x768, 1280x960, 960x1280, 768x1366, 768x512, 1366x768, 1344x576"
ENCODED = base64.b64encode(PNG).decode()
BY_LINK = Picture(url=LINK, expires_at=NOW + timedelta(minutes=10))
BYTES = Picture(data=PNG, content_type="image/png")


def answer(*items: Any) -> Reply:
    return Reply(body={"created": 1724554354, "data": list(items)})


def problem(status: int, message: str = "no", code: Any = None, kind: str = "invalid_request_error") -> Reply:
    return Reply(status=status, body={"error": {"message": message, "type": kind, "param": None, "code": code}})


def success(*pictures: Picture) -> Update:
    return Update(status=TaskStatus.SUCCEEDED, pictures=pictures)


def nothing(message: str = "YEScale answered 200 without a picture") -> Update:
    return Update(status=TaskStatus.FAILED, error=TaskError(code=ErrorCode.PROVIDER_ERROR, message=message, provider_code="200"))


CASE = Case(
    name="yescale",
    task=new_task("yescale", model="flux-pro"),
    takes={"flux-pro": FIELDS, "flux": FIELDS, "flux-dev": FIELDS},
    is_held=True,
    submissions=(
        Submission(id="least", task=new_task("yescale"), path=PATH, headers=HEADERS, body={"prompt": "a lighthouse", "model": "flux-pro"}),
        Submission(
            id="the sample", path=PATH, headers=HEADERS,
            task=new_task("yescale", model="flux-pro", input={"width": 1024, "height": 1024, "n": 1}),
            body={"model": "flux-pro", "prompt": "a lighthouse", "size": "1024x1024", "n": 1},
        ),
        Submission(
            id="every option", path=PATH, headers=HEADERS,
            task=new_task("yescale", model="any-model", input={"n": 10, "options": {
                "size": "1366x768", "quality": "hd", "style": "vivid", "user": "u", "response_format": "b64_json"}}),
            body={"model": "any-model", "prompt": "a lighthouse", "n": 10, "size": "1366x768", "quality": "hd", "style": "vivid",
            "user": "u",
                  "response_format": "b64_json"},
        ),
    ),
    submits=(
        Exchange(id="the sample", answer=answer({"b64_json": None, "revised_prompt": None, "url": LINK}), outcome=success(BY_LINK)),
        Exchange(id="base64", answer=answer({"b64_json": ENCODED}), outcome=success(BYTES)),
        Exchange(id="base64 as a data URI", answer=answer({"b64_json": f"data:image/png;base64,{ENCODED}", "url": ""}),
                 outcome=success(BYTES)),
        Exchange(id="empty base64 and a link", answer=answer({"b64_json": "", "url": LINK}), outcome=success(BY_LINK)),
        Exchange(id="bad base64 and a link", answer=answer({"b64_json": "***", "url": LINK}), outcome=success(BY_LINK)),
        Exchange(id="base64 of no picture and a link", answer=answer({"b64_json": "YWJj", "url": LINK}), outcome=success(BY_LINK)),
        Exchange(id="several, in order", answer=answer({"url": LINK}, {"b64_json": ENCODED}, {"url": LINK}),
                 outcome=success(BY_LINK, BYTES, BY_LINK)),
        Exchange(id="some of them", answer=answer({"url": LINK}, {}, None, {"url": 5}, {"url": "javascript:1"}, "x"),
                 outcome=success(BY_LINK)),
        Exchange(
            id="a request id", answer=Reply(body={"created": 1, "data": [{"url": LINK}]}, headers={"X-Request-Id": "req-1"}),
            outcome=Update(status=TaskStatus.SUCCEEDED, pictures=(BY_LINK,), provider_task_id="req-1"),
        ),
        Exchange(id="no data", answer=Reply(body={"created": 1}), outcome=nothing()),
        Exchange(id="data is null", answer=Reply(body={"created": 1, "data": None}), outcome=nothing()),
        Exchange(id="empty data", answer=answer(), outcome=nothing()),
        Exchange(id="items without a picture", answer=answer({"b64_json": "YWJj"}), outcome=nothing()),
        Exchange(id="words instead of data", answer=Reply(body={"message": "busy"}), outcome=nothing("busy")),
        Exchange(id="a page", answer=Reply(body=b"<html>welcome</html>"), outcome=nothing()),
        Exchange(id="200 with an error", answer=problem(200, "upstream failed", kind="upstream_error"),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.REFUSED, "upstream failed")),
        Exchange(id="400", answer=problem(400, "bad size"), outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED, "bad size")),
        Exchange(id="400 moderated by words", answer=problem(400, "Rejected by our safety system"),
                 outcome=Refused(ErrorCode.MODERATED, Fate.REFUSED)),
        Exchange(id="400 moderated by code", answer=problem(400, code="content_policy_violation"),
                 outcome=Refused(ErrorCode.MODERATED, Fate.REFUSED)),
        Exchange(id="sensitive words", answer=problem(500, code="sensitive_words_detected"),
                 outcome=Refused(ErrorCode.MODERATED, Fate.REFUSED)),
        Exchange(id="blocked prompt", answer=problem(503, code="prompt_blocked"), outcome=Refused(ErrorCode.MODERATED, Fate.REFUSED)),
        Exchange(id="401", answer=problem(401, "bad token", code="invalid_api_key"),
                 outcome=Refused(ErrorCode.AUTHENTICATION, Fate.REFUSED, "bad token")),
        Exchange(id="403", answer=problem(403), outcome=Refused(ErrorCode.AUTHENTICATION, Fate.REFUSED)),
        Exchange(id="402", answer=problem(402), outcome=Refused(ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED)),
        Exchange(id="403 about the quota", answer=problem(403, code="insufficient_user_quota"),
                 outcome=Refused(ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED)),
        Exchange(id="429 about the quota", answer=problem(429, code="insufficient_quota"),
                 outcome=Refused(ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED)),
        Exchange(id="429 about the quota by its type", answer=problem(429, kind="insufficient_quota"),
                 outcome=Refused(ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED)),
        Exchange(id="429", answer=problem(429, "slow down, for everybody's safety"),
                 outcome=Refused(ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED)),
        Exchange(id="404", answer=problem(404), outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED)),
        Exchange(id="422", answer=problem(422), outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED)),
        Exchange(id="500 of the gateway", answer=problem(500, "it broke", kind="new_api_error"),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.REFUSED, "it broke")),
        Exchange(id="500 with words alone", answer=Reply(status=500, body={"error": "it broke"}),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.REFUSED, "it broke")),
        Exchange(id="500 from before the gateway", answer=Reply(status=500, body=b"oops"),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)),
        Exchange(id="503", answer=problem(503, "no channel"), outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN)),
        Exchange(id="524", answer=Reply(status=524, body=b"<html>"), outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)),
    ),
    checks=(
        *(Check(id=size, fields={"width": int(size.split("x")[0]), "height": int(size.split("x")[1])}) for size in SIZES.split(", ")),
        Check(id="any model", fields={"model": "flux-1.1-pro-ultra", "n": 10}),
        Check(id="1000 characters", fields={"prompt": "ä" * 1000, "options": {"size": "512x768", "response_format": "url", "user": "u"}}),
        Check(id="1001 characters", fields={"prompt": "ä" * 1001}, error=Invalid, names=("prompt",), words=("1000", "1001")),
        Check(id="sides that do not belong together", fields={"width": 1024, "height": 960}, error=Invalid, names=("width", "height"),
              words=(SIZES, "1024x960")),
        Check(id="one side", fields={"width": 1024}, error=Invalid, names=("height",), words=(SIZES,)),
        Check(id="the other side", fields={"height": 1024}, error=Invalid, names=("width",), words=(SIZES,)),
        Check(id="a size too large to be written", fields={"width": 2**70, "height": 1024}, error=Invalid, names=("width",)),
        Check(id="too many", fields={"n": 11}, error=Invalid, names=("n",), words=("1 to 10", "11")),
        Check(id="too few", fields={"n": 0}, error=Invalid, names=("n",), words=("1 to 10",)),
        Check(id="size in options", fields={"options": {"size": "1x1"}}, error=Invalid, names=("options.size",), words=("1024x512",)),
        Check(id="size twice", fields={"width": 1024, "height": 1024, "options": {"size": "1024x1024"}},
              error=Invalid, names=("options.size",)),
        Check(id="n twice", fields={"n": 2, "options": {"n": 2}}, error=Invalid, names=("options.n",)),
        Check(id="answer", fields={"options": {"response_format": "png"}},
              error=Invalid, names=("options.response_format",), words=("url, b64_json",)),
        Check(id="streaming", fields={"options": {"stream": True}}, error=Invalid, names=("options.stream",)),
        Check(id="others", fields={"seed": 1, "aspect_ratio": "1:1", "prompt_upsampling": True, "image": "https://example.com/a.png"},
              error=Unsupported,
              names=("seed", "aspect_ratio", "prompt_upsampling", "image")),
    ),
    told=(
        Told(id="success", urls=(LINK, "https://relay.example/images/img_1"),
             task=new_task("yescale", status=TaskStatus.SUCCEEDED, completed_at=NOW),
             body={"created": int(NOW.timestamp()), "data": [
                 {"b64_json": None, "revised_prompt": None, "url": LINK},
                 {"b64_json": None, "revised_prompt": None, "url": "https://relay.example/images/img_1"}]}),
        Told(id="failure", task=new_task("yescale", status=TaskStatus.FAILED, error=TaskError(
                 code=ErrorCode.INSUFFICIENT_CREDITS, message="empty", provider_code="insufficient_user_quota")),
             body={"error": {"message": "empty", "type": "insufficient_quota", "param": None, "code": "insufficient_user_quota"}}),
        Told(id="failure of ours", task=new_task("yescale", status=TaskStatus.FAILED,
             error=TaskError(code=ErrorCode.TIMEOUT, message="late")),
             body={"error": {"message": "late", "type": "api_error", "param": None, "code": "timeout"}}),
        Told(id="open", task=new_task("yescale", status=TaskStatus.SUBMITTED), body={"created": int(NOW.timestamp()), "data": []}),
    ),
)
