"""APIFRAME. Of its own pages: the submission, its answer, progress, the end, the refusals 400 and 401. The body of a failure
and the words of other statuses are those that its clients know."""

from relay.errors import Fate, Invalid, Unsupported
from relay.model import ErrorCode, Picture, TaskError, TaskStatus, Update
from relay.ports.provider import InputImage
from tests.providers.cases import CALLBACK_URL, KEY, PNG, SECRET, Case, Check, Exchange, Incoming, Refused, Submission, Told, new_task
from tests.providers.upstream import Reply

ID = "29e983ca-7e86-4017-a9e3-ef6fe9cd5f2a"
LINK = "https://cdn.apiframe.example/xxxxxxxx.png?sig=a%2Bb"
END = {"task_id": ID, "task_type": "flux-imagine", "original_image_url": "https://up.example/xxxxxxxx.png", "image_url": LINK}
PROGRESS = {"task_id": ID, "task_type": "flux-imagine", "status": "processing", "percentage": 40}
HEADERS = {"authorization": KEY}
TARGET = {"webhook_url": CALLBACK_URL, "webhook_secret": SECRET}

SUCCESS = Update(status=TaskStatus.SUCCEEDED, provider_task_id=ID, progress=100, pictures=(Picture(url=LINK),))
RUNNING = Update(status=TaskStatus.PROCESSING, provider_task_id=ID, progress=40)


def failure(message: str, provider_code: str = "failed", code: ErrorCode = ErrorCode.PROVIDER_ERROR) -> Update:
    return Update(status=TaskStatus.FAILED, provider_task_id=ID, error=TaskError(code=code, message=message, provider_code=provider_code))


def notice(**fields: object) -> dict[str, object]:
    return {"task_id": ID, "task_type": "flux-imagine", **fields}


STANDS: tuple[tuple[str, dict[str, object], Update], ...] = (
    ("the end", {**END}, SUCCESS),
    ("the end with a status", {**END, "status": "finished"}, SUCCESS),
    ("the end in other words", {**END, "status": "COMPLETED", "percentage": "100"}, SUCCESS),
    ("several pictures", notice(image_urls=[LINK, "https://x.example/2.png"], status="finished"),
     Update(status=TaskStatus.SUCCEEDED, provider_task_id=ID, progress=100,
            pictures=(Picture(url=LINK), Picture(url="https://x.example/2.png")))),
    ("progress", {**PROGRESS}, RUNNING),
    ("progress as text", {**PROGRESS, "percentage": "40%"}, RUNNING),
    ("progress beyond the end", {**PROGRESS, "percentage": 1e300}, Update(status=TaskStatus.PROCESSING, provider_task_id=ID)),
    ("one percent", {**PROGRESS, "percentage": 1}, Update(status=TaskStatus.PROCESSING, provider_task_id=ID, progress=1)),
    ("progress without a status", notice(percentage=40), RUNNING),
    ("staged", notice(status="staged"), Update(status=TaskStatus.SUBMITTED, provider_task_id=ID)),
    ("starting", notice(status="starting"), Update(status=TaskStatus.PROCESSING, provider_task_id=ID)),
    ("an unknown status with a preview", notice(status="upscaling", image_url=LINK),
     Update(status=TaskStatus.PROCESSING, provider_task_id=ID)),
    ("failed with a message", notice(status="failed", message="The model crashed"), failure("The model crashed")),
    ("failed with an error", notice(status="failed", error={"message": "Timed out"}), failure("Timed out")),
    ("failed without words", notice(status="failed"), failure("the provider gave no reason")),
    ("moderated", notice(status="failed", message="Blocked by NSFW filter"), failure("Blocked by NSFW filter", code=ErrorCode.MODERATED)),
)

CASE = Case(
    name="apiframe",
    task=new_task("apiframe", model="flux-pro-1.1", provider_task_id=ID),
    takes={
        "flux-pro-1.1": {"width", "height", "seed", "image", "prompt_upsampling", "safety_tolerance"},
        "flux-pro-1.1-ultra": {"width", "height", "seed", "image", "prompt_upsampling", "safety_tolerance", "aspect_ratio",
                               "image_strength", "raw"},
        "flux-pro": {"width", "height", "seed", "image", "prompt_upsampling", "safety_tolerance", "steps", "guidance", "interval"},
        "flux-dev": {"width", "height", "seed", "image", "prompt_upsampling", "safety_tolerance", "steps", "guidance"},
    },
    query="/fetch",
    submissions=(
        Submission(
            id="the sample", task=new_task("apiframe", prompt="a sunflower field in the wind", model="flux-pro"), path="/flux-imagine",
            headers=HEADERS, body={"prompt": "a sunflower field in the wind", "model": "flux-pro", **TARGET},
        ),
        Submission(
            id="without a callback", task=new_task("apiframe"), path="/flux-imagine", headers=HEADERS, with_callback=False,
            body={"prompt": "a lighthouse", "model": "flux-pro-1.1"},
        ),
        Submission(
            id="every field of ultra", path="/flux-imagine", headers=HEADERS, image=InputImage(data=PNG),
            task=new_task("apiframe", model="flux-pro-1.1-ultra", input={
                "width": 1440, "height": 256, "aspect_ratio": "21:9", "seed": 42, "n": 1, "image": "image:img_1", "image_strength": 0.1,
                "prompt_upsampling": True, "safety_tolerance": 0, "raw": True, "options": {"output_format": "png"},
            }),
            body={
                "model": "flux-pro-1.1-ultra", "prompt": "a lighthouse", "width": 1440, "height": 256, "aspect_ratio": "21:9", "seed": 42,
                "image_prompt": "iVBORw0KGgpub3QgbXVjaCBvZiBhIHBpY3R1cmU=", "image_prompt_strength": 0.1, "prompt_upsampling": True,
                "safety_tolerance": 0, "raw": True, "output_format": "png", **TARGET,
            },
        ),
        Submission(
            id="every field of pro", task=new_task("apiframe", model="flux-pro", input={"steps": 25, "guidance": 2.5, "interval": 2.0}),
            path="/flux-imagine", headers=HEADERS,
            body={"model": "flux-pro", "prompt": "a lighthouse", "steps": 25, "guidance": 2.5, "interval": 2, **TARGET},
        ),
    ),
    submits=(
        Exchange(id="accepted", answer=Reply(body={"task_id": ID}), outcome=Update(status=TaskStatus.SUBMITTED, provider_task_id=ID)),
        Exchange(id="without an id", answer=Reply(body={"errors": [{"msg": "later"}]}),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN, "later")),
        Exchange(id="400", answer=Reply(status=400, body={"errors": [{"msg": "Invalid model"}, {"msg": "prompt is required"}]}),
                 outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED, "Invalid model; prompt is required")),
        Exchange(id="400 moderated", answer=Reply(status=400, body={"errors": [{"msg": "Prompt violates our content policy"}]}),
                 outcome=Refused(ErrorCode.MODERATED, Fate.REFUSED, "content policy")),
        Exchange(id="401", answer=Reply(status=401, body={}), outcome=Refused(ErrorCode.AUTHENTICATION, Fate.REFUSED, "HTTP 401")),
        Exchange(id="402", answer=Reply(status=402, body={"errors": [{"msg": "no credits"}]}),
                 outcome=Refused(ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED)),
        Exchange(id="408", answer=Reply(status=408), outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.UNKNOWN)),
        Exchange(id="429", answer=Reply(status=429), outcome=Refused(ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED)),
        Exchange(id="500", answer=Reply(status=500, body={}), outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN, "HTTP 500")),
        Exchange(id="503", answer=Reply(status=503), outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.NOT_ACCEPTED)),
    ),
    fetches=(
        *(Exchange(id=name, answer=Reply(body=body), outcome=update) for name, body, update in STANDS),
        Exchange(id="finished without a picture", answer=Reply(body=notice(status="finished")),
                 outcome=failure("finished, but without a link to the picture", "finished")),
        Exchange(id="nothing said", answer=Reply(body=notice()), outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)),
        Exchange(id="another task", answer=Reply(body={**END, "task_id": "other"}),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)),
        Exchange(id="400", answer=Reply(status=400, body={"errors": [{"msg": "task not found"}]}),
                 outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.UNKNOWN, "task not found")),
        Exchange(id="503", answer=Reply(status=503), outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN)),
    ),
    callbacks=(
        *(Incoming(id=name, body=body, outcome=update) for name, body, update in STANDS),
        Incoming(id="another task", body={**END, "task_id": "other"}, outcome=Update(
            status=TaskStatus.SUCCEEDED, provider_task_id="other", progress=100, pictures=(Picture(url=LINK),))),
        Incoming(id="no JSON", body=b"image=1", outcome=None),
        Incoming(id="a list", body=[END], outcome=None),
        Incoming(id="no task", body={"image_url": LINK}, outcome=None),
        Incoming(id="nothing said", body=notice(), outcome=None),
        Incoming(id="no link", body=notice(image_url="javascript:alert(1)", status="finished"), outcome=None),
    ),
    checks=(
        Check(id="everything", fields={"width": 256, "height": 1440, "seed": 0, "safety_tolerance": 6, "prompt_upsampling": True, "n": 1,
                                       "image": "DATA:image/png;base64,AA=="}),
        Check(id="ultra", fields={"model": "flux-pro-1.1-ultra", "aspect_ratio": "9:21", "image_strength": 1, "raw": False}),
        Check(id="flux-pro", fields={"model": "flux-pro", "steps": 40, "guidance": 2.5, "interval": 4}),
        Check(id="advisory limits pass", fields={"model": "flux-dev", "steps": 500, "guidance": 99}),
        Check(id="size", fields={"width": 255, "height": 1441}, error=Invalid, names=("width", "height"),
              words=("256 to 1440", "255", "1441")),
        Check(id="tolerance", fields={"safety_tolerance": 7}, error=Invalid, names=("safety_tolerance",), words=("0 to 6", "7")),
        Check(id="interval", fields={"model": "flux-pro", "interval": 2.5}, error=Invalid, names=("interval",),
              words=("integer from 1 to 4", "2.5")),
        Check(id="strength", fields={"model": "flux-pro-1.1-ultra", "image_strength": 1.1}, error=Invalid, names=("image_strength",),
              words=("0 to 1", "1.1")),
        Check(id="too wide", fields={"model": "flux-pro-1.1-ultra", "aspect_ratio": "22:9"}, error=Invalid, names=("aspect_ratio",),
              words=("21:9 and 9:21", "22:9")),
        Check(id="too tall in options", fields={"model": "flux-pro-1.1-ultra", "options": {"aspect_ratio": "9:22"}}, error=Invalid,
              names=("options.aspect_ratio",)),
        Check(id="no ratio", fields={"model": "flux-pro-1.1-ultra", "aspect_ratio": "16/9"}, error=Invalid, names=("aspect_ratio",),
              words=("WIDTH:HEIGHT", "16/9")),
        Check(id="a ratio without a height", fields={"model": "flux-pro-1.1-ultra", "aspect_ratio": "1:0"}, error=Invalid,
              names=("aspect_ratio",)),
        Check(id="of other models", fields={"aspect_ratio": "1:1", "steps": 20, "interval": 2, "raw": True}, error=Unsupported,
              names=("aspect_ratio", "steps", "interval", "raw"), words=("flux-pro-1.1-ultra does", "flux-pro, flux-dev do")),
        Check(id="of another model in options", fields={"options": {"steps": 20}}, error=Unsupported, names=("options.steps",)),
        Check(id="unsupported and invalid", fields={"width": 1, "n": 2}, error=Unsupported, names=("width", "n")),
        Check(id="what it cannot express", fields={"output_format": "png", "watermark": "w", "translate": True}, error=Unsupported,
              names=("output_format", "watermark", "translate")),
        Check(id="an unknown model", fields={"model": "flux-2"}, error=Invalid, names=("model",), words=("flux-pro-1.1-ultra", "flux-2")),
        Check(id="strength in options too", error=Invalid, names=("options.image_prompt_strength",),
              fields={"model": "flux-pro-1.1-ultra", "image_strength": 1, "options": {"image_prompt_strength": 0.5}}),
    ),
    told=(
        Told(id="finished", urls=(LINK,), task=new_task("apiframe", status=TaskStatus.SUCCEEDED, provider_task_id=ID),
             body=notice(status="finished", original_image_url=LINK, image_url=LINK)),
        Told(id="failed", body={"task_id": "task_1", "task_type": "flux-imagine", "status": "failed", "message": "too late"},
             task=new_task("apiframe", status=TaskStatus.FAILED, error=TaskError(code=ErrorCode.TIMEOUT, message="too late"))),
        Told(id="on its way", task=new_task("apiframe", status=TaskStatus.PROCESSING, progress=40, provider_task_id=ID), body=PROGRESS),
        Told(id="submitted", task=new_task("apiframe", status=TaskStatus.SUBMITTED, provider_task_id=ID),
             body={**PROGRESS, "percentage": 0}),
    ),
)
