"""The HTTP side as one ASGI application."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from relay.web.errors import Problems, on_http_exception
from relay.web.middleware import Journal
from relay.web.operation import make_routes
from relay.web.operations import OPERATIONS
from relay.web.parts import Web

__all__ = ["Web", "create_site"]


def create_site(web: Web, *, extra_routes: Sequence[BaseRoute] = ()) -> Starlette:
    """`extra_routes` come after ours. A path with a slash too many is a 404, not a redirect to a host that the request names."""
    site = Starlette(
        routes=[*make_routes(OPERATIONS, web), *extra_routes],
        middleware=[Middleware(Journal, meter=web.meter, new_id=web.new_id), Middleware(Problems)],
        exception_handlers={HTTPException: on_http_exception},
    )
    site.router.redirect_slashes = False
    return site
