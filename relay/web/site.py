"""The HTTP side as one ASGI application."""

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from relay.ports import Role
from relay.web import health
from relay.web.callbacks import CallbackFront
from relay.web.errors import Problems
from relay.web.middleware import Journal
from relay.web.operation import make_routes
from relay.web.operations import OPERATIONS
from relay.web.parts import Web
from relay.web.valve import Valve

__all__ = ["Web", "create_site"]


def create_site(web: Web, *, role: Role = Role.ALL, extra_routes: Sequence[BaseRoute] = (),
                front: Callable[[ASGIApp], ASGIApp] = lambda routes: routes) -> Starlette:
    """`extra_routes` come after ours, `front` before them all but callbacks. A path with a slash too many is a 404, not a redirect to a
    host that the request names. All errors are ours to tell, so Starlette's own handlers of errors are left out. A worker can only be
    asked how it is."""
    is_open = role is not Role.WORKER
    site = Starlette(routes=[*make_routes(OPERATIONS if is_open else health.OPERATIONS, web), *extra_routes])
    site.router.redirect_slashes = False
    journal = Journal(Problems(front(site.router) if is_open else site.router), meter=web.meter, new_id=web.new_id)
    site.middleware_stack = Valve(CallbackFront(journal, journal=journal, web=web) if is_open else journal, meter=web.meter)
    return site
