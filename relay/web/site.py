"""The HTTP side as one ASGI application."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from relay.web.callbacks import CallbackFront
from relay.web.errors import Problems
from relay.web.middleware import Journal
from relay.web.operation import make_routes
from relay.web.operations import OPERATIONS
from relay.web.parts import Web
from relay.web.valve import Valve

__all__ = ["Web", "create_site"]


def create_site(web: Web, *, extra_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """`extra_routes` come after ours. A path with a slash too many is a 404, not a redirect to a host that the request names. All
    errors are ours to tell, so Starlette's own handlers of errors are left out."""
    site = Starlette(routes=[*make_routes(OPERATIONS, web), *extra_routes])
    site.router.redirect_slashes = False
    inner = Problems(CallbackFront(site.router, web=web))
    site.middleware_stack = Valve(Journal(inner, meter=web.meter, new_id=web.new_id), meter=web.meter)
    return site
