"""Segmind, Flux 1.1 Pro. Of its own page: the sample, the picture as answer, its credits header and the statuses."""

from datetime import timedelta

from relay.errors import Fate, Invalid, Unsupported
from relay.model import ErrorCode, Picture, TaskError, TaskStatus, Update
from tests.providers.cases import KEY, NOW, PNG, Case, Check, Exchange, Refused, Submission, Told, new_task
from tests.providers.upstream import Reply

PATH = "/v1/flux-1.1-pro"
HEADERS = {"x-api-key": KEY}
FIELDS = {"width", "height", "aspect_ratio", "seed", "output_format", "safety_tolerance", "prompt_upsampling"}
JPEG = b"\xff\xd8\xff\xe0 not much of a picture"
WEBP = b"RIFF\x10\x00\x00\x00WEBP not much"
LINK = "https://relay.example/images/img_1?sig=a%2Bb"


def picture(data: bytes, content_type: str) -> Update:
    return Update(status=TaskStatus.SUCCEEDED, pictures=(Picture(data=data, content_type=content_type),))


def no_picture(message: str, code: ErrorCode = ErrorCode.PROVIDER_ERROR) -> Update:
    return Update(status=TaskStatus.FAILED, error=TaskError(code=code, message=message, provider_code="200"))


NOTHING = "Segmind answered 200 with something that is no picture"

CASE = Case(
    name="segmind",
    task=new_task("segmind", model="flux-1.1-pro"),
    takes={"flux-1.1-pro": FIELDS},
    is_held=True,
    submissions=(
        Submission(id="least", task=new_task("segmind"), path=PATH, headers=HEADERS, body={"prompt": "a lighthouse"}),
        Submission(
            id="the sample", path=PATH, headers=HEADERS,
            task=new_task("segmind", model="flux-1.1-pro", input={
                "seed": 12345, "aspect_ratio": "1:1", "output_format": "png", "safety_tolerance": 2, "prompt_upsampling": False,
                "n": 1, "options": {"output_quality": 80},
            }),
            body={"seed": 12345, "prompt": "a lighthouse", "aspect_ratio": "1:1", "output_format": "png", "output_quality": 80,
                  "safety_tolerance": 2, "prompt_upsampling": False},
        ),
        Submission(id="a size is custom, jpeg is jpg", path=PATH, headers=HEADERS,
                   task=new_task("segmind", input={"width": 1000, "height": 256, "output_format": "jpeg"}),
                   body={"prompt": "a lighthouse", "width": 1000, "height": 256, "aspect_ratio": "custom", "output_format": "jpg"}),
        Submission(id="one side is custom too", path=PATH, headers=HEADERS, task=new_task("segmind", input={"height": 300}),
                   body={"prompt": "a lighthouse", "height": 300, "aspect_ratio": "custom"}),
    ),
    submits=(
        Exchange(id="png", answer=Reply(body=PNG, headers={"content-type": "image/png"}), outcome=picture(PNG, "image/png")),
        Exchange(id="a jpeg that says webp", answer=Reply(body=JPEG, headers={"content-type": "image/webp; q=1"}),
                 outcome=picture(JPEG, "image/jpeg")),
        Exchange(id="webp", answer=Reply(body=WEBP, headers={"content-type": "IMAGE/WEBP"}), outcome=picture(WEBP, "image/webp")),
        Exchange(
            id="all headers", outcome=Update(
                status=TaskStatus.SUCCEEDED, pictures=(Picture(data=PNG, content_type="image/png"),), provider_task_id="req-1", cost=0.04,
                credits_left=12.5,
            ),
            answer=Reply(body=PNG, headers={"content-type": "image/png", "X-Remaining-Credits": "12.5", "x-request-id": "req-1",
            "x-cost": "0.04"}),
        ),
        Exchange(id="nonsense", answer=Reply(body=PNG, headers={"content-type": "image/png", "x-remaining-credits": "nan", "x-cost": ""}),
                 outcome=picture(PNG, "image/png")),
        Exchange(id="200 with an error", answer=Reply(body={"error": "model overloaded"}), outcome=no_picture("model overloaded")),
        Exchange(id="200 with a moderation", answer=Reply(body={"error": "NSFW content detected"}),
                 outcome=no_picture("NSFW content detected", ErrorCode.MODERATED)),
        Exchange(id="an error that says it is a picture", answer=Reply(body=b'{"error":"oops"}', headers={"content-type": "image/png"}),
                 outcome=no_picture("oops")),
        Exchange(id="a picture that says it is text", answer=Reply(body=PNG, headers={"content-type": "text/html"}),
                 outcome=no_picture(NOTHING)),
        Exchange(id="an empty 200", answer=Reply(headers={"content-type": "image/png"}), outcome=no_picture(NOTHING)),
        Exchange(id="401", answer=Reply(status=401, body={"error": "denied", "error_description": "Invalid API key", "status_code": 401}),
                 outcome=Refused(ErrorCode.AUTHENTICATION, Fate.REFUSED, "Invalid API key")),
        Exchange(id="404", answer=Reply(status=404, body={"error": "no such model"}),
                 outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED)),
        Exchange(id="405", answer=Reply(status=405, body=b"<html>Method Not Allowed</html>", headers={"content-type": "text/html"}),
                 outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED, "HTTP 405")),
        Exchange(id="406", answer=Reply(status=406, body={"error": "Not enough credits"}),
                 outcome=Refused(ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED, "Not enough credits")),
        Exchange(id="406 without words", answer=Reply(status=406), outcome=Refused(ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED)),
        Exchange(id="406 about a field", answer=Reply(status=406, body={"error": "Invalid parameter: seed"}),
                 outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED, "seed")),
        Exchange(id="406 about content", answer=Reply(status=406, body={"error": "Invalid prompt: NSFW"}),
                 outcome=Refused(ErrorCode.MODERATED, Fate.REFUSED)),
        Exchange(id="410", answer=Reply(status=410, body={"error": "retired"}), outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED)),
        Exchange(id="429", answer=Reply(status=429, body={"error": "slow down"}),
                 outcome=Refused(ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED)),
        Exchange(id="500", answer=Reply(status=500, body={"error": "CUDA"}),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.REFUSED, "CUDA")),
        Exchange(id="500 about content", answer=Reply(status=500, body={"error": "Safety filter"}),
                 outcome=Refused(ErrorCode.MODERATED, Fate.REFUSED)),
        Exchange(id="500 from before Segmind", answer=Reply(status=500, body=b"Internal Server Error"),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)),
        Exchange(id="502", answer=Reply(status=502, body={"error": "bad gateway"}),
                 outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN)),
        Exchange(id="503", answer=Reply(status=503), outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN)),
        Exchange(id="504", answer=Reply(status=504), outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN)),
    ),
    checks=(
        Check(id="a size", fields={"width": 256, "height": 1440, "seed": 1, "output_format": "webp", "safety_tolerance": 5,
                                   "prompt_upsampling": True}),
        Check(id="no multiple of 16 is rounded, not refused", fields={"width": 257, "height": 1439}),
        Check(id="a ratio", fields={"aspect_ratio": "2:3", "options": {"output_quality": 100, "output_format": "jpg"}}),
        Check(id="a ratio beyond the advised", fields={"aspect_ratio": "21:9"}),
        Check(id="both", fields={"aspect_ratio": "1:1", "width": 512, "height": 512},
              error=Invalid, names=("aspect_ratio",), words=("width", "height")),
        Check(id="one and a ratio", fields={"aspect_ratio": "1:1", "height": 512}, error=Invalid, names=("aspect_ratio",)),
        Check(id="a ratio in options", fields={"height": 512, "options": {"aspect_ratio": "1:1"}},
              error=Invalid, names=("options.aspect_ratio",)),
        Check(id="sizes", fields={"width": 255, "height": 1441},
              error=Invalid, names=("width", "height"), words=("256 to 1440", "255", "1441")),
        Check(id="tolerance", fields={"safety_tolerance": 0}, error=Invalid, names=("safety_tolerance",), words=("1 to 5",)),
        Check(id="quality", fields={"options": {"output_quality": 101}},
              error=Invalid, names=("options.output_quality",), words=("0 to 100",)),
        Check(id="format", fields={"output_format": "jpg"}, error=Invalid, names=("output_format",), words=("jpeg, png, webp",)),
        Check(id="model", fields={"model": "flux-dev"}, error=Invalid, names=("model",), words=("flux-1.1-pro",)),
        Check(id="others", fields={"image": "https://example.com/a.png", "steps": 2, "guidance": 2, "watermark": "w", "n": 2},
              error=Unsupported,
              names=("image", "steps", "guidance", "watermark", "n")),
    ),
    told=(
        Told(
            id="success", urls=(LINK,),
            task=new_task("segmind", status=TaskStatus.SUCCEEDED, provider_task_id="req-1", cost=0.04, submitted_at=NOW,
                          completed_at=NOW + timedelta(seconds=2.5)),
            body={"request_id": "req-1", "status": "COMPLETED", "output": LINK,
                  "metrics": {"cost": 0.04, "queue_time": 0.0, "inference_time": 2.5, "total_time": 2.5}},
        ),
        Told(id="failure", task=new_task("segmind", status=TaskStatus.FAILED, error=TaskError(code=ErrorCode.MODERATED, message="NSFW")),
             body={"request_id": "task_1", "status": "FAILED", "error": "NSFW"}),
        Told(id="queued", task=new_task("segmind", status=TaskStatus.SUBMITTED), body={"request_id": "task_1", "status": "QUEUED"}),
        Told(id="open", task=new_task("segmind", status=TaskStatus.PROCESSING), body={"request_id": "task_1", "status": "PROCESSING"}),
    ),
)
