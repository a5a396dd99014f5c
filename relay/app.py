"""Where the parts meet: the only file that knows them all.

Start: open the store, free what a dead process held, make sure of the default account and the operator's key, then run the workers. Stop,
in this order: nothing new is taken (`stopping`), what is under way gets the grace period, the rest is released, the others who share the
store hear no more of this process, the store is closed. A worker that dies takes the process with it: half alive is worse than dead.

Of some workers there is one only, however many processes share the store: those are duties, each taken on by one process.
"""

import asyncio
import contextlib
import functools
import hashlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.types import ASGIApp

from relay import __version__
from relay.archive.local import LocalArchive
from relay.bell import Bell
from relay.delivery.formats import Formatter
from relay.delivery.moving import Mover
from relay.delivery.replay import ReplayWorker
from relay.delivery.resealing import Resealer
from relay.delivery.sender import Sender
from relay.delivery.worker import DeliveryWorker
from relay.errors import Conflict, StoreError
from relay.ids import new_id
from relay.model import Account, Key, Scope
from relay.net.fetch import GuardedFetcher, GuardedSession
from relay.net.guard import Policy
from relay.net.handshake import Handshake
from relay.observe.metrics import PrometheusMeter
from relay.ports import Fleet, Provider, Role, Store
from relay.providers import DIALECTS, PROVIDERS
from relay.providers.dropin.front import Front
from relay.providers.dropin.house import House
from relay.providers.sandbox import Sandbox
from relay.settings import Settings
from relay.signing import Seal, derive_key
from relay.stores.opening import open_store
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
from relay.web.body import read_plain, read_value
from relay.web.images import make_link
from relay.web.middleware import add_to_log
from relay.web.site import Web, create_site

_log = logging.getLogger(__name__)

_SETTLING: Final = 2.0
_SETTLING_SHARED: Final = 12.0  # processes are judged dead by others after 8 to 10 seconds

Run = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class _Parts(Struct, frozen=True, kw_only=True):
    """What several parts share."""

    settings: Settings
    role: Role
    store: Store
    fleet: Fleet
    bell: Bell
    archive: LocalArchive
    session: GuardedSession
    policy: Policy
    vault: Vault
    routes: Routes
    meter: PrometheusMeter
    stopping: asyncio.Event
    credits: dict[str, float] = msgspec.field(default_factory=dict)

    @property
    def clock(self) -> Callable[[], datetime]:
        return self.fleet.now


@contextlib.asynccontextmanager
async def open_app(settings: Settings, *, role: Role = Role.ALL, sandbox: Sandbox | None = None) -> AsyncIterator[Starlette]:
    """A running Relay, workers and all, or the part of one that `role` says, as an ASGI application; leaving the context stops it.

    `settings.public_url` and `admin_key` must be resolved already. `app.state.stop()` begins the stop: the server calls it when it stops
    accepting, so that streams and waits end. A worker's failure cancels the body and comes out as an ExceptionGroup. Raises ConfigError.
    """
    bell, stopping = Bell(), asyncio.Event()
    image_seal = Seal(settings.secret_keys, "images")
    link = make_link(settings.own_url, image_seal, settings.image_link_ttl)
    store, fleet = await open_store(settings.database_url or settings.database_path, bell=bell, link=link, new_id=new_id,
                                    first_wait=settings.retry_schedule[0], role=role, clock=_now)
    try:
        await store.recover()
        await _ensure_operator(store, settings, fleet.now())
        async with contextlib.AsyncExitStack() as stack:
            parts = _make_parts(settings, role, store, fleet, bell, link, stopping, stack)
            site = _make_site(parts, image_seal, link, sandbox)
            async with _at_work(parts, sandbox) as stop:
                site.state.stop = stop
                yield site
    finally:
        await store.close()


def _make_parts(settings: Settings, role: Role, store: Store, fleet: Fleet, bell: Bell, link: Link, stopping: asyncio.Event,
                stack: contextlib.AsyncExitStack) -> _Parts:
    policy = Policy(allow_cidrs=settings.allow_cidrs, allow_http=settings.allow_http)
    providers: dict[str, Provider] = {
        name: make(settings.providers[name], user_agent=f"relay/{__version__}", clock=fleet.now) for name, make in PROVIDERS.items()}
    for provider in providers.values():
        stack.push_async_callback(provider.aclose)
    session = GuardedSession()
    stack.push_async_callback(session.close)
    return _Parts(
        settings=settings, role=role, store=store, fleet=fleet, bell=bell, archive=LocalArchive(settings.data_dir / "images"),
        session=session, policy=policy,
        vault=Vault([derive_key(key, "vault") for key in settings.secret_keys]),
        routes=Routes(providers=providers, seal=Seal(settings.secret_keys, "callbacks"), public_url=settings.public_url, link=link),
        meter=PrometheusMeter(), stopping=stopping,
    )


async def _ensure_operator(store: Store, settings: Settings, now: datetime) -> None:
    """The account `default`, and the key of its operator: the one in force is always the one in the settings."""
    account = await store.account("default")
    while account is None:
        with contextlib.suppress(Conflict):  # another process starts at the same moment
            await store.add_account(Account(id=new_id("acc"), name="default", created_at=now))
        account = await store.account("default")
    await store.add_key(Key(
        id="key_operator", account_id=account.id, name="operator", hash=hashlib.sha256(settings.admin_key.encode()).hexdigest(),
        scopes=(Scope.ADMIN,), created_at=now))


def _make_site(parts: _Parts, image_seal: Seal, link: Link, sandbox: Sandbox | None) -> Starlette:
    recorder = _recorder(parts)
    receiver = Receiver(routes=parts.routes, store=parts.store, recorder=recorder, new_id=new_id, clock=parts.clock, meter=parts.meter,
                        reconcile_after=timedelta(seconds=parts.settings.reconcile_after))
    desk = Desk(
        routes=parts.routes, store=parts.store, recorder=recorder, receiver=receiver, archive=parts.archive, bell=parts.bell,
        vault=parts.vault, policy=parts.policy, clock=parts.clock, new_id=new_id, stopping=parts.stopping,
    )
    web = Web(
        store=parts.store, tasks=desk, gate=StoreGate(parts.store), providers=parts.routes.providers, archive=parts.archive,
        bell=parts.bell, vault=parts.vault, formats=Formatter(parts.routes.providers), prepare=_sender(parts).prepare,
        link=link, image_seal=image_seal, policy=parts.policy, shake_hands=Handshake(parts.session), clock=parts.clock, new_id=new_id,
        meter=parts.meter, public_url=parts.settings.own_url, stopping=parts.stopping, role=parts.role,
        render_metrics=_metrics(parts),
    )
    return create_site(web, role=parts.role, extra_routes=sandbox.routes() if sandbox else (), front=_dropins(parts, web))


def _dropins(parts: _Parts, web: Web) -> Callable[[ASGIApp], ASGIApp]:
    settings = parts.settings
    fetchers = {name: GuardedFetcher(parts.session, parts.policy, config.base_url) for name, config in settings.providers.items()}
    house = House(
        store=parts.store, tasks=web.tasks, gate=web.gate, providers=web.providers, archive=parts.archive, fetchers=fetchers,
        bell=parts.bell, link=web.link, seal=Seal(settings.secret_keys, "polls"), public_url=settings.own_url, via=settings.dropin_via,
        holds=settings.dropin_holds, settling=_SETTLING_SHARED if settings.database_url else _SETTLING, credits=parts.credits,
        read_body=read_plain, read_value=read_value, say=add_to_log, meter=parts.meter, clock=parts.clock, stopping=parts.stopping,
    )
    return functools.partial(Front, dialects=[make() for make in DIALECTS], house=house, hosts=settings.dropin_hosts)


def _recorder(parts: _Parts) -> Recorder:
    return Recorder(store=parts.store, archive=parts.archive, new_id=new_id, clock=parts.clock)


def _metrics(parts: _Parts) -> Callable[[], Awaitable[tuple[bytes, str]]]:
    async def render() -> tuple[bytes, str]:
        return parts.meter.render(await parts.store.figures(now=parts.clock()))

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

    resting = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        runs = {**(_workers(parts) if parts.role is not Role.API else {}), **({"sandbox": sandbox.run} if sandbox else {})}
        group.create_task(parts.fleet.run(resting), name="processes")
        tasks = [group.create_task(run(parts.stopping), name=name) for name, run in runs.items()]
        try:
            yield stop
        finally:
            stop()
            await _wind_up(tasks, stopped_at[0] + parts.settings.shutdown_grace - loop.time())
            resting.set()


async def _wind_up(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Once they have ended, those that take longer than that by being told to."""
    late = (await asyncio.wait(tasks, timeout=max(0.0, seconds)))[1] if tasks else ()
    for task in late:
        _log.warning("%s did not finish within the grace period", task.get_name())
        task.cancel()
    if late:
        await asyncio.wait(late)


def _workers(parts: _Parts) -> dict[str, Run]:
    """Those that every process which works has, and those of which there is one, on duty in one process."""
    workers: dict[str, Run] = {"deliveries": _delivery_worker(parts).run}
    duties: dict[str, Run] = {
        "moves": Mover(parts.store, parts.bell).run,
        "replays": ReplayWorker(parts.store, parts.bell, clock=parts.clock).run,
        "retention": Pruner(
            store=parts.store, archive=parts.archive, retention=timedelta(seconds=parts.settings.retention), clock=parts.clock).run,
    }
    if len(parts.settings.secret_keys) > 1:
        duties["sealing anew"] = Resealer(parts.store, parts.vault).run
    for name, provider in parts.routes.providers.items():
        poll_clock = PollClock(reconcile_after=parts.settings.reconcile_after)
        submitter = _submitter(parts, provider, poll_clock)
        workers[f"submissions to {name}"] = submitter.run
        duties[f"doubtful submissions to {name}"] = submitter.settle_doubts
        duties[f"polls of {name}"] = Poller(
            provider=provider, routes=parts.routes, store=parts.store, recorder=_recorder(parts), bell=parts.bell,
            poll_clock=poll_clock, pace=Pace(provider.limits.queries, time.monotonic), clock=parts.clock, jitter=_jitter, meter=parts.meter,
        ).run
    return workers | {name: _on_duty(parts.fleet, name, run) for name, run in duties.items()}


def _on_duty(fleet: Fleet, duty: str, run: Run) -> Run:
    async def run_on_duty(stopping: asyncio.Event) -> None:
        if await fleet.take_on(duty, stopping):
            await run(stopping)
            with contextlib.suppress(StoreError):
                await fleet.give_up(duty)

    return run_on_duty


def _submitter(parts: _Parts, provider: Provider, poll_clock: PollClock) -> Submitter:
    return Submitter(
        provider=provider, routes=parts.routes, store=parts.store, recorder=_recorder(parts), archive=parts.archive,
        fetcher=GuardedFetcher(parts.session, parts.policy), bell=parts.bell, poll_clock=poll_clock, clock=parts.clock, jitter=_jitter,
        meter=parts.meter, credits=parts.credits,
    )


def _sender(parts: _Parts) -> Sender:
    return Sender(
        session=parts.session, formatter=Formatter(parts.routes.providers), vault=parts.vault, policy=parts.policy, clock=parts.clock,
        new_id=new_id, timeout=parts.settings.delivery_timeout,
    )


def _delivery_worker(parts: _Parts) -> DeliveryWorker:
    return DeliveryWorker(
        parts.store, parts.bell, _sender(parts), clock=parts.clock, jitter=_jitter, schedule=parts.settings.retry_schedule,
        meter=parts.meter)


def _now() -> datetime:
    return datetime.now(UTC)


def _jitter() -> float:
    return random.uniform(-1.0, 1.0)  # noqa: S311 -- spreads load, guards nothing
