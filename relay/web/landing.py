"""The page at `/`: what this is, and where to go from here."""

from starlette.responses import Response

from relay import __version__
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation
from relay.web.page import show_page


async def show_landing(_call: Call[NoQuery, NoBody]) -> Response:
    return show_page("landing", version=__version__)


OPERATIONS = (
    Operation(
        method="GET", path="/", id="showLanding", tag="Operations", summary="Where to go from here", handle=show_landing, is_open=True,
        answers={200: Answer(means="A page.", media_type="text/html")},
    ),
)
