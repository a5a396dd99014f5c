"""Where the parts meet: the only file that knows them all.

Start: open the store (its owner lock refuses a second process), free what a dead process held, make sure of the default account and the
operator's key, then run the workers. Stop, in this order: nothing new is taken (`stopping`), what is under way gets the grace period, the
rest is released, the store is closed. A worker that dies takes the process with it: half alive is worse than dead.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from starlette.applications import Starlette

from relay import __version__
from relay.archive.local import LocalArchive
from relay.bell import Bell
from relay.delivery.formats import Formatter
from relay.delivery.moving import Mover
from relay.delivery.replay import ReplayWorker
from relay.delivery.resealing import Resealer
from relay.delivery.sender import Sender
from relay.delivery.worker import DeliveryWorker
from relay.ids import new_id
from relay.model import Account, Key, Scope
from relay.net.fetch import GuardedFetcher, GuardedSession
from relay.net.guard import Policy
from relay.net.handshake import Handshake
from relay.observe.metrics import PrometheusMeter
from relay.ports import Provider, Store
from relay.providers import PROVIDERS
from relay.providers.sandbox import Sandbox
from relay.settings import Settings
from relay.signing import Seal, derive_key
from relay.stores.sqlite import open_store
from relay.tasks.clock import PollClock
from relay.tasks.desk import Desk
from relay.tasks.poll import Pace, Poller
from relay.tasks.prune import Pruner
from relay.tasks.receive import Receiver
from relay.tasks.record import Recorder
from relay.tasks.routes import Routes
from relay.tasks.submit import Submitter
from relay.vault import Vault
from relay.view import Link
from relay.web.auth import StoreGate
from relay.web.images import make_link
from relay.web.site import Web, create_site

_log = logging.getLogger(__name__)

Run = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class _Parts(Struct, frozen=True, kw_only=True):
    """What several parts share."""

    settings: Settings
    store: Store
    bell: Bell
    archive: LocalArchive
    session: GuardedSession
    policy: Policy
    vault: Vault
    routes: Routes
    meter: PrometheusMeter
    stopping: asyncio.Event


@contextlib.asynccontextmanager
async def open_app(settings: Settings, *, sandbox: Sandbox | None = None) -> AsyncIterator[Starlette]:
    """A running Relay, workers and all, as an ASGI application; leaving the context stops it.

    `settings.public_url` and `admin_key` must be resolved already. `app.state.stop()` begins the stop: the server calls it when it stops
    accepting, so that streams and waits end. A worker's failure cancels the body and comes out as an ExceptionGroup. Raises ConfigError.
    """
    bell, stopping = Bell(), asyncio.Event()
    image_seal = Seal(settings.secret_keys, "images")
    link = make_link(settings.own_url, image_seal, settings.image_link_ttl)
    store = await open_store(settings.database_path, bell=bell, link=link, new_id=new_id,
                             first_wait=settings.retry_schedule[0])
    try:
        await store.recover()
        await _ensure_operator(store, settings)
        async with contextlib.AsyncExitStack() as stack:
            parts = await _make_parts(settings, store, bell, link, stopping, stack)
            site = _make_site(parts, image_seal, link, sandbox)
            async with _at_work(parts, sandbox) as stop:
                site.state.stop = stop
                yield site
    finally:
        await store.close()


async def _make_parts(settings: Settings, store: Store, bell: Bell, link: Link, stopping: asyncio.Event,
                      stack: contextlib.AsyncExitStack) -> _Parts:
    policy = Policy(allow_cidrs=settings.allow_cidrs, allow_http=settings.allow_http)
    providers: dict[str, Provider] = {
        name: make(settings.providers[name], user_agent=f"relay/{__version__}", clock=_now) for name, make in PROVIDERS.items()}
    for provider in providers.values():
        stack.push_async_callback(provider.aclose)
    session = GuardedSession()
    stack.push_async_callback(session.close)
    return _Parts(
        settings=settings, store=store, bell=bell, archive=LocalArchive(settings.data_dir / "images"), session=session, policy=policy,
        vault=Vault([derive_key(key, "vault") for key in settings.secret_keys]),
        routes=Routes(providers=providers, seal=Seal(settings.secret_keys, "callbacks"), public_url=settings.public_url, link=link),
        meter=PrometheusMeter(), stopping=stopping,
    )


async def _ensure_operator(store: Store, settings: Settings) -> None:
    """The account `default`, and the key of its operator: the one in force is always the one in the settings."""
    account = await store.account("default")
    if account is None:
        account = await store.add_account(Account(id=new_id("acc"), name="default", created_at=_now()))
    await store.add_key(Key(
        id="key_operator", account_id=account.id, name="operator", hash=hashlib.sha256(settings.admin_key.encode()).hexdigest(),
        scopes=(Scope.ADMIN,), created_at=_now()))


def _make_site(parts: _Parts, image_seal: Seal, link: Link, sandbox: Sandbox | None) -> Starlette:
    recorder = _recorder(parts)
    receiver = Receiver(routes=parts.routes, store=parts.store, recorder=recorder, new_id=new_id, clock=_now, meter=parts.meter,
                        reconcile_after=timedelta(seconds=parts.settings.reconcile_after))
    desk = Desk(
        routes=parts.routes, store=parts.store, recorder=recorder, receiver=receiver, archive=parts.archive, bell=parts.bell,
        vault=parts.vault, policy=parts.policy, clock=_now, new_id=new_id, stopping=parts.stopping,
    )
    web = Web(
        store=parts.store, tasks=desk, gate=StoreGate(parts.store), providers=parts.routes.providers, archive=parts.archive,
        bell=parts.bell, vault=parts.vault, formats=Formatter(parts.routes.providers), prepare=_sender(parts).prepare,
        link=link, image_seal=image_seal, policy=parts.policy, shake_hands=Handshake(parts.session), clock=_now, new_id=new_id,
        meter=parts.meter, public_url=parts.settings.own_url, stopping=parts.stopping, render_metrics=_metrics(parts),
    )
    return create_site(web, extra_routes=sandbox.routes() if sandbox else ())


def _recorder(parts: _Parts) -> Recorder:
    return Recorder(store=parts.store, archive=parts.archive, new_id=new_id, clock=_now)


def _metrics(parts: _Parts) -> Callable[[], Awaitable[tuple[bytes, str]]]:
    async def render() -> tuple[bytes, str]:
        return parts.meter.render(await parts.store.figures(now=_now()))

    return render


@contextlib.asynccontextmanager
async def _at_work(parts: _Parts, sandbox: Sandbox | None) -> AsyncIterator[Callable[[], None]]:
    """The workers run while this is open; what it gives begins the stop."""
    loop = asyncio.get_running_loop()
    stopped_at: list[float] = []

    def stop() -> None:
        stopped_at.append(loop.time())
        parts.stopping.set()
        parts.bell.ring_all()

    async with asyncio.TaskGroup() as group:
        runs = {**_workers(parts), **({"sandbox": sandbox.run} if sandbox else {})}
        tasks = [group.create_task(run(parts.stopping), name=name) for name, run in runs.items()]
        try:
            yield stop
        finally:
            stop()
            grace = stopped_at[0] + parts.settings.shutdown_grace - loop.time()
            _, late = await asyncio.wait(tasks, timeout=max(0.0, grace))
            for task in late:
                _log.warning("%s did not finish within the grace period", task.get_name())
                task.cancel()


def _workers(parts: _Parts) -> dict[str, Run]:
    workers: dict[str, Run] = {
        "deliveries": _delivery_worker(parts).run,
        "moves": Mover(parts.store, parts.bell).run,
        "replays": ReplayWorker(parts.store, parts.bell, clock=_now).run,
        "retention": Pruner(
            store=parts.store, archive=parts.archive, retention=timedelta(seconds=parts.settings.retention), clock=_now).run,
    }
    if len(parts.settings.secret_keys) > 1:
        workers["sealing anew"] = Resealer(parts.store, parts.vault).run
    for name, provider in parts.routes.providers.items():
        poll_clock = PollClock(reconcile_after=parts.settings.reconcile_after)
        workers[f"polls of {name}"] = Poller(
            provider=provider, routes=parts.routes, store=parts.store, recorder=_recorder(parts), bell=parts.bell,
            poll_clock=poll_clock, pace=Pace(provider.limits.queries, time.monotonic), clock=_now, jitter=_jitter, meter=parts.meter,
        ).run
        workers[f"submissions to {name}"] = Submitter(
            provider=provider, routes=parts.routes, store=parts.store, recorder=_recorder(parts), archive=parts.archive,
            fetcher=GuardedFetcher(parts.session, parts.policy), bell=parts.bell, poll_clock=poll_clock, clock=_now, jitter=_jitter,
            meter=parts.meter,
        ).run
    return workers


def _sender(parts: _Parts) -> Sender:
    return Sender(
        session=parts.session, formatter=Formatter(parts.routes.providers), vault=parts.vault, policy=parts.policy, clock=_now,
        new_id=new_id, timeout=parts.settings.delivery_timeout,
    )


def _delivery_worker(parts: _Parts) -> DeliveryWorker:
    return DeliveryWorker(
        parts.store, parts.bell, _sender(parts), clock=_now, jitter=_jitter, schedule=parts.settings.retry_schedule, meter=parts.meter)


def _now() -> datetime:
    return datetime.now(UTC)


def _jitter() -> float:
    return random.uniform(-1.0, 1.0)  # noqa: S311 -- spreads load, guards nothing
