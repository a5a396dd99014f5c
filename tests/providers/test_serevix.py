"""Serevix, beyond what its case and the suite over all providers say."""

import pytest
from hypothesis import given, settings

from relay.errors import ProviderError, Unreadable
from relay.model import ErrorCode, Task, TaskError, TaskStatus, Update
from relay.providers.answer import Answer
from relay.providers.serevix.reading import read_accepted, read_result
from tests.providers.cases import KEY, NOW, SECRET, new_task
from tests.providers.cases.serevix import CASE, ID, SAMPLE
from tests.providers.suite import make, submit
from tests.providers.test_garbage import BODIES
from tests.providers.upstream import Reply, running_upstream

pytestmark = pytest.mark.anyio


async def test_a_polling_url_on_another_host_is_never_asked() -> None:
    async with running_upstream() as gateway, running_upstream() as foreign:
        gateway.answer = Reply(body={"id": ID, "polling_url": f"{foreign.url}/v1/get_result?id={ID}"})
        provider = make(CASE, gateway.url)
        accepted = await submit(provider, CASE)
        assert isinstance(accepted, Update)
        gateway.answer = Reply(body={"id": ID, "status": "Pending"})
        await provider.fetch(new_task("serevix", provider_task_id=accepted.provider_task_id))
        await provider.aclose()
        assert [request.path for request in gateway.requests] == ["/flux/v1/flux-pro-1.1", f"/flux/v1/get_result?id={ID}"]
        assert gateway.requests[1].headers["authorization"] == f"Bearer {KEY}"
        assert foreign.requests == []


async def test_an_odd_id_stays_inside_the_query() -> None:
    async with running_upstream() as gateway:
        gateway.answer = Reply(body={"id": "../x?a=1&id=2#", "status": "Pending"})
        provider = make(CASE, gateway.url)
        await provider.fetch(new_task("serevix", provider_task_id="../x?a=1&id=2#"))
        await provider.aclose()
        assert gateway.requests[0].path == "/flux/v1/get_result?id=..%2Fx%3Fa%3D1%26id%3D2%23"


async def test_a_task_without_an_id_cannot_be_asked_for() -> None:
    provider = make(CASE)
    with pytest.raises(ProviderError):
        await provider.fetch(new_task("serevix"))
    await provider.aclose()


def test_nothing_that_calls_back_is_believed() -> None:
    provider = make(CASE)
    assert not provider.is_authentic({"x-webhook-secret": SECRET}, b"{}", secrets=[SECRET], task=CASE.task)
    with pytest.raises(Unreadable):
        provider.read_callback({}, b'{"id": "x", "status": "Ready"}')


@pytest.mark.parametrize(("task", "urls", "status"), [
    (new_task("serevix", provider_task_id=ID, status=TaskStatus.SUCCEEDED, submitted_at=NOW, completed_at=NOW), (SAMPLE,),
    TaskStatus.SUCCEEDED),
    (new_task("serevix", provider_task_id=ID, status=TaskStatus.FAILED, error=TaskError(code=ErrorCode.MODERATED, message="no")), (),
     TaskStatus.FAILED),
    (new_task("serevix", provider_task_id=ID, status=TaskStatus.FAILED), (), TaskStatus.FAILED),
    (new_task("serevix", provider_task_id=ID, status=TaskStatus.PROCESSING, progress=40), (), TaskStatus.PROCESSING),
], ids=["succeeded", "moderated", "failed", "processing"])
def test_what_is_told_reads_back_as_it_was_meant(task: Task, urls: tuple[str, ...], status: TaskStatus) -> None:
    update = read_result(Answer(status=200, body=make(CASE).callback_for(task, urls).body), asked=ID)
    assert update.status is status
    assert tuple(picture.url for picture in update.pictures) == urls
    assert (update.error.code if update.error else None) == (task.error.code if task.error else update.error and ErrorCode.PROVIDER_ERROR)
    assert update.progress == (100 if urls else task.progress)


@settings(max_examples=200, deadline=None)
@given(body=BODIES)
def test_any_answer_is_an_update_or_an_error(body: bytes) -> None:
    for status in (200, 422):
        answer = Answer(status=status, body=body)
        try:
            assert read_accepted(answer).status is TaskStatus.SUBMITTED
        except ProviderError as exc:
            assert exc.message  # noqa: PT017 -- either outcome is fine
        try:
            update = read_result(answer, asked=ID)
        except ProviderError:
            continue
        assert (update.status is TaskStatus.FAILED) == (update.error is not None)
        assert (update.status is TaskStatus.SUCCEEDED) == bool(update.pictures)
