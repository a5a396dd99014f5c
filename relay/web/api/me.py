"""Who am I?"""

from starlette.responses import Response

from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.shapes import Me


async def show_me(call: Call[NoQuery, NoBody]) -> Response:
    caller = call.caller
    return answer_json(Me(account=caller.account_name, key_id=caller.key_id, key_name=caller.key_name, scopes=list(caller.scopes)))


OPERATIONS = (
    Operation(
        method="GET", path="/api/v1/me", id="showMe", tag="Keys", summary="The key of this request", handle=show_me,
        answers={200: Answer(means="The key, and the account it acts for.", shape=Me)},
    ),
)
