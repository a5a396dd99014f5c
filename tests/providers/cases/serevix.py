"""Serevix. Of its own pages: the submission, its answer, the Ready body. Of Black Forest Labs' schema: everything else."""

from datetime import UTC, datetime, timedelta

from relay.errors import Fate, Invalid, Unsupported
from relay.model import ErrorCode, Picture, TaskError, TaskStatus, Update
from relay.ports.provider import InputImage
from tests.providers.cases import KEY, NOW, PNG, Case, Check, Exchange, Refused, Submission, Told, new_task
from tests.providers.upstream import Reply

ID = "1981b99c-a825-4d19-adc6-7dda6118c4ea"
SAMPLE = ("https://delivery-eu1.bfl.ai/results/ab/1981b99c/sample.jpeg?se=2026-03-01T12%3A10%3A04Z&sp=r&sv=2024-11-04&sr=b"
          "&rsct=image/jpeg&sig=a%2Bb%2Fc%3D")
READY = {
    "id": ID, "status": "Ready",
    "result": {"sample": SAMPLE, "prompt": "draw a rainbow", "seed": 42, "start_time": 1772366400.25, "end_time": 1772366404.0,
               "duration": 3.75},
}
HEADERS = {"authorization": f"Bearer {KEY}", "accept": "application/json"}
TASK = new_task("serevix", model="flux-pro-1.1", provider_task_id=ID)


def failure(code: ErrorCode, message: str, provider_code: str) -> Update:
    return Update(status=TaskStatus.FAILED, provider_task_id=ID, error=TaskError(code=code, message=message, provider_code=provider_code))


def success(url: str = SAMPLE, *, expires_at: datetime | None = datetime(2026, 3, 1, 12, 10, 4, tzinfo=UTC),
            cost: float | None = None) -> Update:
    return Update(status=TaskStatus.SUCCEEDED, provider_task_id=ID, progress=100, pictures=(Picture(url=url, expires_at=expires_at),),
                  cost=cost)


CASE = Case(
    name="serevix",
    task=TASK,
    takes={"flux-pro-1.1": {"width", "height", "seed", "output_format", "image", "prompt_upsampling"}},
    query=f"/flux/v1/get_result?id={ID}",
    submissions=(
        Submission(
            id="the sample", task=new_task("serevix", prompt="draw a rainbow", model="flux-pro-1.1", input={"width": 1024, "height": 768}),
            path="/flux/v1/flux-pro-1.1", headers=HEADERS, body={"prompt": "draw a rainbow", "width": 1024, "height": 768},
        ),
        Submission(
            id="every field", path="/flux/v1/flux-dev", headers=HEADERS, image=InputImage(data=PNG),
            task=new_task("serevix", model="flux-dev", input={
                "width": 512, "height": 512, "seed": 42, "n": 1, "output_format": "png", "prompt_upsampling": False,
                "image": "image:img_1", "options": {"steps": 28, "guidance": 3.0},
            }),
            body={
                "prompt": "a lighthouse", "width": 512, "height": 512, "seed": 42, "output_format": "png", "prompt_upsampling": False,
                "image_prompt": "iVBORw0KGgpub3QgbXVjaCBvZiBhIHBpY3R1cmU=", "steps": 28, "guidance": 3.0,
            },
        ),
    ),
    submits=(
        Exchange(
            id="accepted",
            answer=Reply(body={"id": ID, "polling_url": f"https://gateway.serevixai.example/flux/v1/get_result?id={ID}"}),
            outcome=Update(status=TaskStatus.SUBMITTED, provider_task_id=ID),
        ),
        Exchange(
            id="accepted with its price",
            answer=Reply(status=202, body={"id": ID, "polling_url": "https://api.eu2.bfl.ai/v1/get_result?id=x",
                                                                          "cost": 4, "input_mp": None, "output_mp": 0.79}),
            outcome=Update(status=TaskStatus.SUBMITTED, provider_task_id=ID, cost=4.0),
        ),
        Exchange(id="without an id", answer=Reply(body={"status": "Pending"}), outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)),
        Exchange(id="no JSON", answer=Reply(body=b"<html>welcome</html>"), outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)),
        Exchange(
            id="422 list", answer=Reply(status=422, body={"detail": [{
                "type": "multiple_of", "loc": ["body", "width"], "msg": "Input should be a multiple of 32", "input": 1000}]}),
            outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED, "width: Input should be a multiple of 32"),
        ),
        Exchange(id="422 text", answer=Reply(status=422, body={"detail": "Invalid API key format"}),
                 outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED, "Invalid API key format")),
        Exchange(id="400 moderated", answer=Reply(status=400, body={"error": {"message": "Request Moderated"}}),
                 outcome=Refused(ErrorCode.MODERATED, Fate.REFUSED, "Request Moderated")),
        Exchange(id="401", answer=Reply(status=401, body={"error": {"message": "bad token", "code": None}}),
                 outcome=Refused(ErrorCode.AUTHENTICATION, Fate.REFUSED, "bad token")),
        Exchange(id="403", answer=Reply(status=403, body={"detail": "Not authenticated - Invalid Authentication"}),
                 outcome=Refused(ErrorCode.AUTHENTICATION, Fate.REFUSED, "Not authenticated")),
        Exchange(id="402", answer=Reply(status=402, body={"detail": "Insufficient credits"}),
                 outcome=Refused(ErrorCode.INSUFFICIENT_CREDITS, Fate.REFUSED, "Insufficient credits")),
        Exchange(id="404", answer=Reply(status=404, body={"detail": "Not Found"}),
                 outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.REFUSED)),
        Exchange(id="429", answer=Reply(status=429, body={"detail": "Too many active tasks"}),
                 outcome=Refused(ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED, "Too many active tasks")),
        Exchange(id="503", answer=Reply(status=503, body=b"upstream busy"), outcome=Refused(
            ErrorCode.PROVIDER_UNAVAILABLE, Fate.NOT_ACCEPTED, "upstream busy")),
        Exchange(id="500", answer=Reply(status=500, body=b"Internal Server Error"),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN, "Internal Server Error")),
        Exchange(id="504", answer=Reply(status=504), outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN, "HTTP 504")),
        Exchange(id="redirect", answer=Reply(status=301, headers={"location": "https://elsewhere.example/"}),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN, "HTTP 301")),
    ),
    fetches=(
        Exchange(id="Ready", answer=Reply(body=READY), outcome=success()),
        Exchange(id="Ready, cost in the result", answer=Reply(body={**READY, "cost": 4, "result": {"sample": SAMPLE, "cost": 3.5}}),
                 outcome=success(cost=3.5)),
        Exchange(id="Ready, cost beside the result", answer=Reply(body={**READY, "cost": 4}), outcome=success(cost=4.0)),
        Exchange(id="Ready on another host",
                 answer=Reply(body={"id": ID, "status": "Ready", "result": {"sample": "https://storage.example/A b.png"}}),
                 outcome=failure(ErrorCode.PROVIDER_ERROR, "Ready, but without a link to the picture", "Ready")),
        Exchange(id="Ready, unsigned link",
                 answer=Reply(body={"id": ID, "status": "Ready", "result": {"sample": "https://x.example/A%20b.png?se=then"}}),
                 outcome=success("https://x.example/A%20b.png?se=then", expires_at=None)),
        Exchange(id="Ready without a sample", answer=Reply(body={"id": ID, "status": "Ready", "result": None}),
                 outcome=failure(ErrorCode.PROVIDER_ERROR, "Ready, but without a link to the picture", "Ready")),
        Exchange(id="Pending", answer=Reply(body={"id": ID, "status": "Pending", "result": None, "progress": None}),
                 outcome=Update(status=TaskStatus.SUBMITTED, provider_task_id=ID)),
        Exchange(id="Pending, a share done", answer=Reply(body={"id": ID, "status": "Pending", "result": None, "progress": 0.4}),
                 outcome=Update(status=TaskStatus.PROCESSING, provider_task_id=ID, progress=40)),
        Exchange(id="Pending, percents done", answer=Reply(status=202, body={"id": ID, "status": "Pending", "progress": 55}),
                 outcome=Update(status=TaskStatus.PROCESSING, provider_task_id=ID, progress=55)),
        Exchange(id="an unknown status", answer=Reply(body={"id": ID, "status": "Reasoning"}),
                 outcome=Update(status=TaskStatus.PROCESSING, provider_task_id=ID)),
        Exchange(id="Request Moderated", answer=Reply(body={"id": ID, "status": "Request Moderated", "details": {
            "Moderation Reasons": ["Derivative Works Filter", "Safety Filter"]}}),
            outcome=failure(ErrorCode.MODERATED, "Derivative Works Filter; Safety Filter", "Request Moderated")),
        Exchange(id="Content Moderated", answer=Reply(body={"id": ID, "status": "Content Moderated"}),
                 outcome=failure(ErrorCode.MODERATED, "Content Moderated", "Content Moderated")),
        Exchange(id="Error", answer=Reply(body={"id": ID, "status": "Error", "details": {"error": "out of memory"}}),
                 outcome=failure(ErrorCode.PROVIDER_ERROR, "out of memory", "Error")),
        Exchange(id="Error without details", answer=Reply(body={"id": ID, "status": "Error", "details": None}),
                 outcome=failure(ErrorCode.PROVIDER_ERROR, "the provider gave no reason", "Error")),
        Exchange(id="Task not found", answer=Reply(status=404, body={"id": ID, "status": "Task not found", "result": None}),
                 outcome=Refused(ErrorCode.INVALID_REQUEST, Fate.UNKNOWN)),
        Exchange(id="Task not found in a 200", answer=Reply(body={"id": ID, "status": "Task not found"}),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN, "Task not found")),
        Exchange(id="another task", answer=Reply(body={**READY, "id": "other"}), outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN)),
        Exchange(id="no status", answer=Reply(body={"detail": "later"}), outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.UNKNOWN, "later")),
        Exchange(id="429", answer=Reply(status=429), outcome=Refused(ErrorCode.RATE_LIMITED, Fate.UNKNOWN)),
        Exchange(id="502", answer=Reply(status=502, body=b"Bad gateway"), outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.UNKNOWN)),
    ),
    checks=(
        Check(id="everything", fields={"width": 1024, "height": 768, "seed": -1, "output_format": "jpeg", "prompt_upsampling": True,
                                       "image": "https://x.example/a.png", "n": 1}),
        Check(id="another model", fields={"model": "flux-kontext-max", "options": {"aspect_ratio": "1:1", "steps": 28}}),
        Check(id="width no multiple of 32", fields={"width": 1000}, error=Invalid, names=("width",), words=("multiple of 32", "1000")),
        Check(id="options.width no multiple of 32", fields={"options": {"width": 1000}}, error=Invalid, names=("options.width",),
              words=("multiple of 32",)),
        Check(id="no width", fields={"width": 0, "height": -32}, error=Invalid, names=("width", "height")),
        Check(id="webp", fields={"output_format": "webp"}, error=Invalid, names=("output_format",), words=("jpeg, png", "webp")),
        Check(id="a picture that is neither", fields={"image": "iVBORw0KGgo="}, error=Invalid, names=("image",), words=("data URI",)),
        Check(id="a seed too large", fields={"seed": 2**63}, error=Invalid, names=("seed",), words=("integer",)),
        Check(id="a seed in options too", fields={"seed": 1, "options": {"seed": 2}}, error=Invalid, names=("options.seed",)),
        Check(id="a picture in options too", fields={"image": "data:,x", "options": {"image_prompt": "YQ=="}}, error=Invalid,
              names=("options.image_prompt",)),
        Check(id="a picture in options", fields={"options": {"image_prompt": "YQ=="}}),
        Check(id="a picture in options, no text", fields={"options": {"image_prompt": 7}}, error=Invalid, names=("options.image_prompt",)),
        Check(id="what it cannot express", error=Unsupported, words=("serevix does not take it", "one picture"),
              fields={"aspect_ratio": "1:1", "n": 2, "safety_tolerance": 2, "steps": 1, "guidance": 2, "interval": 2, "raw": True,
                      "watermark": "w", "translate": True, "image_strength": 0.5},
              names=("aspect_ratio", "n", "safety_tolerance", "steps", "guidance", "interval", "raw", "watermark", "translate",
                     "image_strength")),
    ),
    told=(
        Told(id="Ready", urls=(SAMPLE,),
             task=new_task("serevix", prompt="draw a rainbow", status=TaskStatus.SUCCEEDED, provider_task_id=ID, input={"seed": 42},
                           submitted_at=NOW, completed_at=NOW + timedelta(seconds=3.75)),
             body={"id": ID, "status": "Ready", "result": {
                 "sample": SAMPLE, "prompt": "draw a rainbow", "seed": 42, "start_time": NOW.timestamp(),
                 "end_time": NOW.timestamp() + 3.75,
                 "duration": 3.75}}),
        Told(id="Ready, little known", urls=(SAMPLE,), task=new_task("serevix", prompt=None, status=TaskStatus.SUCCEEDED),
             body={"id": "task_1", "status": "Ready", "result": {"sample": SAMPLE}}),
        Told(id="moderated", task=new_task("serevix", status=TaskStatus.FAILED, error=TaskError(code=ErrorCode.MODERATED, message="no")),
             body={"id": "task_1", "status": "Content Moderated", "result": None, "details": {"Moderation Reasons": ["no"]}}),
        Told(id="failed", task=new_task("serevix", status=TaskStatus.FAILED, error=TaskError(code=ErrorCode.TIMEOUT, message="too late")),
             body={"id": "task_1", "status": "Error", "result": None, "details": {"error": "too late"}}),
        Told(id="on its way", task=new_task("serevix", status=TaskStatus.PROCESSING, progress=40),
             body={"id": "task_1", "status": "Pending", "result": None, "progress": 0.4}),
    ),
)
