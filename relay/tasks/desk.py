"""What the web asks about tasks, answered: implements ports.Tasks."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from relay.bell import Bell
from relay.errors import (
    Conflict,
    FieldProblem,
    Invalid,
    NotFound,
    ProviderError,
    ProviderNotConfigured,
    RequestError,
    Unavailable,
    UnknownProvider,
)
from relay.model import Change, ErrorCode, Subscription, Task, TaskStatus, Verdict, Via
from relay.net.guard import Policy, problem_with_url
from relay.ports import Archive, Call, Caller, Errand, Idempotency, Provider, Received, Store, Submitted, TaskRequest, WatchRequest
from relay.signing import new_webhook_secret
from relay.tasks.receive import Receiver
from relay.tasks.record import Recorder, ending
from relay.tasks.routes import Routes
from relay.vault import Vault

_MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024
_NOT_INPUT: Final = frozenset({"provider", "model", "prompt", "callback_url", "callback_secret", "metadata"})


class Desk(Struct, frozen=True, kw_only=True):
    """Each method is described in ports.Tasks."""

    routes: Routes
    store: Store
    recorder: Recorder
    receiver: Receiver
    archive: Archive
    bell: Bell
    vault: Vault
    policy: Policy
    clock: Callable[[], datetime]
    new_id: Callable[[str], str]
    stopping: asyncio.Event

    async def submit(self, caller: Caller, request: TaskRequest, *, idempotency_key: str | None = None,
                     fingerprint: str = "", errand: Errand | None = None) -> Submitted:
        provider = self._provider(request.provider)
        provider.check(request)
        self._check_callback_url(request.callback_url)
        picture = self._input_picture(provider, request.image)
        task = Task(
            id=self.new_id("task"), account_id=caller.account_id, provider=provider.name, model=provider.model_for(request),
            prompt=request.prompt, input=_given(request), metadata=request.metadata or {}, created_at=self.clock(),
            dropin=errand.dropin if errand else None,
        )
        if picture is not None:
            task = await self._keep_input(task, picture)
        key = None if idempotency_key is None else Idempotency(key=idempotency_key, fingerprint=fingerprint)
        try:
            submitted = await self._add(task, request, due_at=task.created_at, idempotency=key, errand=errand)
        except RequestError:
            await self._discard_input(task)
            raise
        if not submitted.created:
            await self._discard_input(task)
        return submitted

    async def watch(self, caller: Caller, request: WatchRequest) -> Submitted:
        provider = self._provider(request.provider)
        self._check_watchable(provider, request)
        self._check_callback_url(request.callback_url)
        now = self.clock()
        is_polled = request.provider_task_id is not None
        task = Task(
            id=self.new_id("task"), account_id=caller.account_id, provider=provider.name, status=TaskStatus.SUBMITTED,
            provider_task_id=request.provider_task_id, metadata=request.metadata or {}, created_at=now, submitted_at=now,
            accepted=True, watched=True, deadline_at=now + timedelta(seconds=provider.deadline),
        )
        submitted = await self._add(task, request, due_at=now if is_polled else None)
        return msgspec.structs.replace(submitted, target=self.routes.target_for(task))

    async def wait(self, account_id: str, task_id: str, seconds: float) -> Task:
        until = asyncio.get_running_loop().time() + seconds
        with self.bell.listen(f"task:{task_id}") as changed:
            while True:
                task = await self._task(account_id, task_id)
                left = until - asyncio.get_running_loop().time()
                if task.status.is_final or left <= 0 or self.stopping.is_set():
                    return task
                await changed.wait(left)

    async def cancel(self, account_id: str, task_id: str) -> Task:
        task = await self._task(account_id, task_id)
        update = ending(ErrorCode.CANCELLED, "cancelled on request")
        applied = await self.recorder.record(Change(task_id=task.id, via=None, now=self.clock(), update=update))
        if applied is None or applied.verdict is not Verdict.APPLIED:
            raise Conflict("The task has ended already.")
        return applied.task

    async def refresh(self, account_id: str, task_id: str) -> Task:
        task = await self._task(account_id, task_id)
        if task.status.is_final:
            return task
        if task.provider_task_id is None:
            raise Conflict("The provider has not named this task yet: there is nothing to ask for.")
        try:
            update = await self.routes.providers[task.provider].fetch(task)
        except ProviderError as exc:
            raise Unavailable(f"{task.provider} did not answer: {exc.message}") from exc
        applied = await self.recorder.record(Change(task_id=task.id, via=Via.POLL, now=self.clock(), update=update))
        return applied.task if applied else task

    async def erase(self, account_id: str, task_id: str) -> None:
        task = await self._task(account_id, task_id)
        if not task.status.is_final:
            update = ending(ErrorCode.CANCELLED, "erased on request")
            await self.recorder.record(Change(task_id=task.id, via=None, now=self.clock(), update=update))
            task = await self._task(account_id, task_id)  # it may have ended by itself just now
        for image in task.images:
            await self.archive.discard(image.id)
        await self._discard_input(task)
        await self.store.erase_task(account_id, task_id, now=self.clock())  # last, so that who fails before may ask again

    def receive(self, provider: str, token: str, headers: Mapping[str, str], body: bytes) -> Coroutine[Any, Any, Received]:
        return self.receiver.receive(provider, token, headers, body)

    async def _add(self, task: Task, request: TaskRequest | WatchRequest, *, due_at: datetime | None,
                   idempotency: Idempotency | None = None, errand: Errand | None = None) -> Submitted:
        secret = new_webhook_secret() if request.callback_url else None
        callback = self._callback(task, request, secret) if secret else None
        call = Call(task_id=task.id, fingerprint=errand.fingerprint, native=errand.native) if errand else None
        stored, created = await self.store.add_task(task, due_at=due_at, callback=callback, idempotency=idempotency, call=call)
        return Submitted(task=stored, created=created, callback_signing_secret=secret if created else None)

    def _callback(self, task: Task, request: TaskRequest | WatchRequest, secret: str) -> Subscription:
        echoed = request.callback_secret
        return Subscription(
            id=self.new_id("sub"), account_id=task.account_id, url=request.callback_url or "", sealed_secret=self.vault.seal(secret),
            sealed_callback_secret=self.vault.seal(echoed) if echoed else None, task_id=task.id, created_at=task.created_at,
            format="provider" if task.dropin else "standard",
        )

    async def _task(self, account_id: str, task_id: str) -> Task:
        task = await self.store.task(account_id, task_id)
        if task is None:
            raise NotFound(f"There is no task {task_id} here.")
        return task

    def _provider(self, name: str) -> Provider:
        provider = self.routes.providers.get(name)
        if provider is None:
            message = f"{name!r} is not one of {', '.join(sorted(self.routes.providers))}"
            raise UnknownProvider(errors=[FieldProblem("provider", message)])
        return provider

    def _check_callback_url(self, url: str | None) -> None:
        problem = problem_with_url(url, self.policy) if url is not None else None
        if problem:
            raise Invalid(errors=[FieldProblem("callback_url", problem)])

    def _check_watchable(self, provider: Provider, request: WatchRequest) -> None:
        info = provider.describe()
        if info.result == "response":
            raise Invalid(errors=[FieldProblem("provider", f"{provider.name} answers with the result itself: there is nothing to watch")])
        if request.provider_task_id is not None and not info.configured:
            raise ProviderNotConfigured(errors=[FieldProblem("provider", f"{provider.name} has no key here, so it cannot be asked")])
        if request.provider_task_id is None and not self.routes.are_callbacks_expected(provider.name):
            raise Invalid(errors=[FieldProblem(
                "provider_task_id", "is required where no callback can come (serevix, or RELAY_PUBLIC_URL is not set)")])

    def _input_picture(self, provider: Provider, image: str | None) -> bytes | None:
        if image is None:
            return None
        if image.startswith("data:"):
            if provider.image_as == "url" and self.routes.public_url is None:
                raise Invalid(errors=[FieldProblem("image", f"{provider.name} takes a URL; a data URI needs RELAY_PUBLIC_URL to be set")])
            return _read_data_uri(image)
        problem = problem_with_url(image, self.policy)
        if problem:
            raise Invalid(errors=[FieldProblem("image", problem)])
        return None

    async def _keep_input(self, task: Task, data: bytes) -> Task:
        try:
            kept = await self.archive.keep(self.new_id("img"), data)
        except ValueError as exc:
            raise Invalid(errors=[FieldProblem("image", f"is no picture that opens: {exc}")]) from exc
        return msgspec.structs.replace(task, input={**task.input, "image": f"image:{kept.id}"})

    async def _discard_input(self, task: Task) -> None:
        image = task.input.get("image")
        if isinstance(image, str) and image.startswith("image:"):
            await self.archive.discard(image.removeprefix("image:"))


def _given(request: TaskRequest) -> dict[str, Any]:
    return {name: value for name in request.__struct_fields__
            if name not in _NOT_INPUT and (value := getattr(request, name)) is not None and value != {}}


def _read_data_uri(uri: str) -> bytes:
    head, comma, data = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise Invalid(errors=[FieldProblem("image", "is not a data URI of the form data:image/png;base64,…")])
    try:
        picture = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Invalid(errors=[FieldProblem("image", f"is not base64: {exc}")]) from exc
    if not 0 < len(picture) <= _MAX_IMAGE_BYTES:
        raise Invalid(errors=[FieldProblem("image", f"holds {len(picture)} bytes; 1 byte to 20 MiB is allowed")])
    return picture
