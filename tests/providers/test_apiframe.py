"""APIFRAME, beyond what its case and the suite over all providers say."""

import pytest
from hypothesis import given, settings

from relay.errors import ProviderError, Unreadable
from relay.model import ErrorCode, Task, TaskError, TaskStatus, Update
from relay.providers.answer import Answer
from relay.providers.apiframe.reading import read_accepted, read_fetched, read_webhook
from tests.providers.cases import KEY, new_task
from tests.providers.cases.apiframe import CASE, ID, LINK, PROGRESS
from tests.providers.suite import make, submit
from tests.providers.test_garbage import BODIES
from tests.providers.upstream import Reply, running_upstream

pytestmark = pytest.mark.anyio


async def test_a_fetch_posts_the_id_with_the_raw_key() -> None:
    async with running_upstream() as upstream:
        upstream.answer = Reply(body=PROGRESS)
        provider = make(CASE, upstream.url)
        await provider.fetch(CASE.task)
        await provider.aclose()
        [request] = upstream.requests
        assert (request.method, request.json, request.headers["authorization"]) == ("POST", {"task_id": ID}, KEY)


async def test_a_task_without_an_id_cannot_be_asked_for() -> None:
    provider = make(CASE)
    with pytest.raises(ProviderError):
        await provider.fetch(new_task("apiframe"))
    await provider.aclose()


async def test_submissions_never_share_a_connection() -> None:
    async with running_upstream() as upstream:
        upstream.answer = Reply(body={"task_id": ID})
        provider = make(CASE, upstream.url)
        for _ in range(3):
            await submit(provider, CASE)
        await provider.aclose()
        assert [request.connection for request in upstream.requests] == [1, 2, 3]


@pytest.mark.parametrize(("task", "urls"), [
    (new_task("apiframe", provider_task_id=ID, status=TaskStatus.SUCCEEDED), (LINK,)),
    (new_task("apiframe", provider_task_id=ID, status=TaskStatus.FAILED, error=TaskError(code=ErrorCode.PROVIDER_ERROR, message="no")), ()),
    (new_task("apiframe", provider_task_id=ID, status=TaskStatus.PROCESSING, progress=40), ()),
], ids=["succeeded", "failed", "processing"])
def test_what_is_told_reads_back_as_it_was_meant(task: Task, urls: tuple[str, ...]) -> None:
    update = read_webhook(make(CASE).callback_for(task, urls).body)
    assert (update.status, update.provider_task_id) == (task.status, ID)
    assert tuple(picture.url for picture in update.pictures) == urls
    assert (update.error.message if update.error else None) == (task.error.message if task.error else None)


def assert_whole(update: Update) -> None:
    assert update.provider_task_id
    assert (update.status is TaskStatus.FAILED) == (update.error is not None)
    assert (update.status is TaskStatus.SUCCEEDED) == bool(update.pictures)


@settings(max_examples=200, deadline=None)
@given(body=BODIES)
def test_any_answer_is_an_update_or_an_error(body: bytes) -> None:
    for status in (200, 400):
        answer = Answer(status=status, body=body)
        try:
            assert_whole(read_accepted(answer))
        except ProviderError as exc:
            assert exc.message  # noqa: PT017 -- either outcome is fine
        try:
            assert_whole(read_fetched(answer, asked=ID))
        except ProviderError as exc:
            assert exc.message  # noqa: PT017 -- either outcome is fine
    try:
        assert_whole(read_webhook(body))
    except Unreadable as exc:
        assert exc.message  # noqa: PT017 -- either outcome is fine
