"""For those who run the service: is it alive, is it ready, how is it doing.

/metrics is open to a client on this machine. A request that some proxy forwarded is not one of those, whatever address it seems to
come from: it needs a key of the account `default`.
"""

import logging
from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from relay.errors import Forbidden, NotFound, StoreError, Unauthorized, Unavailable
from relay.model import Scope
from relay.ports import Role
from relay.web.auth import admit
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.shapes import Health, Readiness

_log = logging.getLogger(__name__)

_ACCOUNT: Final = "default"
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


async def show_health(_call: Call[NoQuery, NoBody]) -> Response:
    return answer_json(Health())


async def show_readiness(call: Call[NoQuery, NoBody]) -> Response:
    reasons = ["the service is stopping"] if call.web.stopping.is_set() else call.web.workers_alive()
    try:
        await call.web.store.check()
    except StoreError as exc:
        _log.warning("not ready: %s", exc.message)  # which may name machines and users: not for everybody
        reasons = [*reasons, "the database takes nothing now"]
    if reasons:
        raise Unavailable(f"Not ready: {'; '.join(reasons)}.")
    role = call.web.role
    return answer_json(Readiness() if role is Role.ALL else Readiness(role=role))


async def show_metrics(call: Call[NoQuery, NoBody]) -> Response:
    if not _is_from_here(call.request):
        caller = await admit(call.web.gate, call.request, Scope.READ)
        if caller.account_name != _ACCOUNT:
            raise Forbidden(f"Metrics are for keys of the account {_ACCOUNT}.")
    if call.web.render_metrics is None:
        raise NotFound
    body, content_type = await call.web.render_metrics()
    return Response(body, headers={"content-type": content_type})


def _is_from_here(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


OPERATIONS = (
    Operation(
        method="GET", path="/healthz", id="showHealth", tag="Operations", summary="Alive", handle=show_health, is_open=True,
        answers={200: Answer(means="The process answers.", shape=Health)},
    ),
    Operation(
        method="GET", path="/readyz", id="showReadiness", tag="Operations", summary="Ready", handle=show_readiness, is_open=True,
        description="A write to the store can be committed, and all workers that the process has run. Else 503, with the reason.",
        problems=(Unavailable,), answers={200: Answer(means="Send work.", shape=Readiness)},
    ),
    Operation(
        method="GET", path="/metrics", id="showMetrics", tag="Operations", summary="Figures for Prometheus", handle=show_metrics,
        description="Open on loopback; else with a key of the account `default` and the scope read.",
        is_open=True, problems=(Unauthorized, Forbidden), answers={200: Answer(means="The figures.", media_type="text/plain")},
    ),
)
