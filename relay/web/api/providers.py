"""What can be asked for: the providers, their models, and the fields that each takes."""

from msgspec import Struct
from starlette.responses import Response

from relay.ports import ProviderInfo
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json


class Providers(Struct, frozen=True):
    """All that Relay knows."""

    data: list[ProviderInfo]


async def list_providers(call: Call[NoQuery, NoBody]) -> Response:
    return answer_json(Providers(data=[provider.describe() for provider in call.web.providers.values()]))


OPERATIONS = (
    Operation(
        method="GET", path="/api/v1/providers", id="listProviders", tag="Providers", summary="Providers, models and their fields",
        handle=list_providers,
        description="`advisory`: a limit that no document of the provider states; it is shown and not enforced.",
        answers={200: Answer(means="Each provider, configured or not.", shape=Providers)},
    ),
)
