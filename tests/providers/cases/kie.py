"""Kie, Flux Kontext. Of its own pages: the submission, the record, both callbacks and the codes."""

from datetime import timedelta

from relay.errors import Fate, Invalid, Unsupported
from relay.model import ErrorCode, Picture, TaskError, TaskStatus, Update
from relay.ports import InputImage
from tests.providers.cases import CALLBACK_URL, KEY, NOW, Case, Check, Exchange, Incoming, Refused, Submission, Told, new_task
from tests.providers.upstream import Reply

ID = "task12345"
PATH = "/api/v1/flux/kontext/generate"
LINK = "https://tempfile.aiquickdraw.example/s/result.jpg?a=1%2F2&b=c+d"
INFO = {"originImageUrl": "https://origin.example/o.jpg", "resultImageUrl": LINK}
NO_INFO = {"originImageUrl": "", "resultImageUrl": ""}
HEADERS = {"authorization": f"Bearer {KEY}"}
FIELDS = {"aspect_ratio", "output_format", "image", "prompt_upsampling", "safety_tolerance", "watermark", "translate"}
SUCCESS = Update(
    status=TaskStatus.SUCCEEDED, provider_task_id=ID, pictures=(Picture(url=LINK, expires_at=NOW + timedelta(days=14)),),
)


def record(**data: object) -> Reply:
    return Reply(body={"code": 200, "msg": "success", "data": {
        "taskId": ID, "paramJson": "{}", "completeTime": "2026-03-01T12:00:00Z", "createTime": "2026-03-01T11:59:00Z", "response": None,
        "successFlag": 0, "errorCode": None, "errorMessage": "", **data,
    }})


def failure(code: ErrorCode, message: str, provider_code: str | None) -> Update:
    return Update(status=TaskStatus.FAILED, provider_task_id=ID, error=TaskError(code=code, message=message, provider_code=provider_code))


CASE = Case(
    name="kie",
    task=new_task("kie", model="flux-kontext-pro", provider_task_id=ID),
    takes={"flux-kontext-pro": FIELDS, "flux-kontext-max": FIELDS},
    query=f"/api/v1/flux/kontext/record-info?taskId={ID}",
    submissions=(
        Submission(id="least", task=new_task("kie"), path=PATH, headers=HEADERS,
                   body={"prompt": "a lighthouse", "model": "flux-kontext-pro", "callBackUrl": CALLBACK_URL}),
        Submission(id="without a callback", task=new_task("kie", model="flux-kontext-max"), path=PATH, headers=HEADERS, with_callback=False,
                   body={"prompt": "a lighthouse", "model": "flux-kontext-max"}),
        Submission(
            id="every field", path=PATH, headers=HEADERS, image=InputImage(url="https://relay.example/images/img_1?s=1"),
            task=new_task("kie", model="flux-kontext-pro", input={
                "aspect_ratio": "21:9", "output_format": "png", "image": "image:img_1", "prompt_upsampling": False, "safety_tolerance": 0,
                "watermark": "mark", "translate": False, "n": 1, "options": {"uploadCn": True, "future": 7},
            }),
            body={
                "prompt": "a lighthouse", "model": "flux-kontext-pro", "aspectRatio": "21:9", "outputFormat": "png",
                "promptUpsampling": False,
                "inputImage": "https://relay.example/images/img_1?s=1", "safetyTolerance": 0, "watermark": "mark",
                "enableTranslation": False,
                "uploadCn": True, "future": 7, "callBackUrl": CALLBACK_URL,
            },
        ),
    ),
    submits=(
        Exchange(id="accepted", answer=Reply(body={"code": 200, "msg": "success", "data": {"taskId": ID}}),
                 outcome=Update(status=TaskStatus.SUBMITTED, provider_task_id=ID)),
        Exchange(id="401", answer=Reply(body={"code": 401, "msg": "You do not have access permissions"}),
                 outcome=Refused(ErrorCode.AUTHENTICATION, Fate.REFUSED, "access permissions")),
        Exchange(id="429 in the body", answer=Reply(body={"code": 429, "msg": "too many", "data": None}),
                 outcome=Refused(ErrorCode.RATE_LIMITED, Fate.NOT_ACCEPTED)),
        Exchange(id="455 in the body", answer=Reply(body={"code": 455, "msg": "maintenance", "data": None}),
                 outcome=Refused(ErrorCode.PROVIDER_UNAVAILABLE, Fate.NOT_ACCEPTED)),
        Exchange(id="refused on the way", answer=Reply(status=403, body=b"error code: 1010"),
                 outcome=Refused(ErrorCode.PROVIDER_ERROR, Fate.REFUSED, "1010")),
    ),
    fetches=(
        Exchange(id="done", answer=record(successFlag=1, response=INFO), outcome=SUCCESS),
        Exchange(id="generating", answer=record(), outcome=Update(status=TaskStatus.PROCESSING, provider_task_id=ID)),
        Exchange(id="not created", answer=record(successFlag=2, errorCode=400, errorMessage="Prompt was flagged"),
                 outcome=failure(ErrorCode.MODERATED, "Prompt was flagged", "400")),
        Exchange(id="not generated", answer=record(successFlag=3, errorCode="501", errorMessage="It failed"),
                 outcome=failure(ErrorCode.PROVIDER_ERROR, "It failed", "501")),
    ),
    callbacks=(
        Incoming(id="success", body={"code": 200, "msg": "any", "data": {"taskId": ID, "info": INFO}}, outcome=SUCCESS),
        Incoming(id="moderated", body={"code": 400, "msg": "Your prompt was flagged", "data": {"taskId": ID, "info": NO_INFO}},
                 outcome=failure(ErrorCode.MODERATED, "Your prompt was flagged", "400")),
        Incoming(id="failed", body={"code": 501, "msg": "It failed", "data": {"taskId": ID, "info": NO_INFO}},
                 outcome=failure(ErrorCode.PROVIDER_ERROR, "It failed", "501")),
        Incoming(id="success without a picture", body={"code": 200, "msg": "any", "data": {"taskId": ID, "info": NO_INFO}}, outcome=None),
    ),
    checks=(
        Check(id="everything", fields={
            "model": "flux-kontext-max", "aspect_ratio": "9:16", "output_format": "png", "image": "https://example.com/a.png", "n": 1,
            "prompt_upsampling": True, "safety_tolerance": 2, "watermark": "w", "translate": True, "options": {"uploadCn": False},
        }),
        Check(id="tolerance of generating", fields={"safety_tolerance": 6}),
        Check(id="tolerance", fields={"safety_tolerance": 7}, error=Invalid, names=("safety_tolerance",), words=("0 to 6", "7")),
        Check(id="tolerance of editing", fields={"safety_tolerance": 3, "image": "https://example.com/a.png"}, error=Invalid,
              names=("safety_tolerance",), words=("0 to 2", "3")),
        Check(id="ratio", fields={"aspect_ratio": "2:1"},
              error=Invalid, names=("aspect_ratio",), words=("21:9, 16:9, 4:3, 1:1, 3:4, 9:16", "2:1")),
        Check(id="format", fields={"output_format": "webp"}, error=Invalid, names=("output_format",), words=("jpeg, png", "webp")),
        Check(id="model", fields={"model": "flux-pro"}, error=Invalid, names=("model",), words=("flux-kontext-pro, flux-kontext-max",)),
        Check(id="size", fields={"width": 1024, "height": 1024, "seed": 1, "n": 2},
              error=Unsupported, names=("width", "height", "seed", "n")),
        Check(id="option", fields={"options": {"uploadCn": "yes"}}, error=Invalid, names=("options.uploadCn",), words=("true or false",)),
    ),
    told=(
        Told(id="success", task=new_task("kie", status=TaskStatus.SUCCEEDED, provider_task_id=ID), urls=(LINK,),
             body={"code": 200, "msg": "success", "data": {"taskId": ID, "info": {"originImageUrl": LINK, "resultImageUrl": LINK}}}),
        Told(id="moderated", task=new_task("kie", status=TaskStatus.FAILED, error=TaskError(code=ErrorCode.MODERATED, message="no")),
             body={"code": 400, "msg": "no", "data": {"taskId": "task_1", "info": NO_INFO}}),
        Told(id="open", task=new_task("kie", status=TaskStatus.SUBMITTED),
             body={"code": 200, "msg": "success", "data": {"taskId": "task_1"}}),
    ),
)
