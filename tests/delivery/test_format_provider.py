"""Format `provider` for tasks that came by a drop-in: told by the provider whose words the app speaks, whoever made the picture."""

import json
from typing import Any, Final

import pytest

from relay.delivery.formats import Formatter
from relay.model import ErrorCode, EventType, Image, Task, TaskError, TaskStatus
from relay.ports import ProviderConfig
from relay.providers import PROVIDERS
from tests.delivery.made import make_task, now
from tests.delivery.telling import URL, tell

FORMATTER: Final = Formatter({name: make(ProviderConfig(), user_agent="relay/test", clock=now) for name, make in PROVIDERS.items()})
ID: Final = "task_1"


def told_by(task: Task) -> dict[str, Any]:
    kind = EventType.TASK_FAILED if task.error else EventType.TASK_SUCCEEDED
    return dict(json.loads(FORMATTER.format("provider", tell(kind, task), task=task).body))


@pytest.mark.parametrize(("dropin", "body"), [
    ("serevix", {"id": ID, "status": "Ready"}), ("apiframe", {"task_id": ID, "status": "finished", "image_url": URL}),
    ("segmind", {"request_id": ID, "status": "COMPLETED", "output": URL}),
    ("kie", {"code": 200, "data": {"taskId": ID, "info": {"originImageUrl": URL, "resultImageUrl": URL}}}), ("yescale", {}),
])
@pytest.mark.parametrize("maker", ["apiframe", "kie"])
def test_an_app_is_told_in_its_own_words_and_by_the_id_that_it_knows(dropin: str, maker: str, body: dict[str, Any]) -> None:
    task = make_task(id=ID, provider=maker, dropin=dropin, provider_task_id="another id", images=(Image(id="img_1", source_url=URL),))
    told = told_by(task)
    assert {name: told[name] for name in body} == body
    assert URL in json.dumps(told)
    assert "another id" not in json.dumps(told)


def test_a_code_of_who_made_the_picture_is_not_told_as_that_of_another() -> None:
    error = TaskError(code=ErrorCode.PROVIDER_ERROR, message="CUDA", provider_code="500")
    failed = {"status": TaskStatus.FAILED, "error": error, "dropin": "kie"}
    assert [told_by(make_task(provider=maker, **failed))["code"] for maker in ("segmind", "kie")] == [501, 500]
