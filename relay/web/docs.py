"""The interface as a page to read and to try: it draws /openapi.json."""

from starlette.responses import Response

from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation
from relay.web.page import show_page


async def show_docs(_call: Call[NoQuery, NoBody]) -> Response:
    return show_page("docs")


OPERATIONS = (
    Operation(
        method="GET", path="/docs", id="showDocs", tag="Operations", summary="This interface, to read and to try", handle=show_docs,
        is_open=True, answers={200: Answer(means="A page.", media_type="text/html")},
    ),
)
