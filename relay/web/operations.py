"""All that can be asked over HTTP, module by module. The site and its OpenAPI document are made from this."""

from typing import Final

from relay.web import callbacks, docs, health, images, landing, stream
from relay.web.api import (
    accounts,
    deliveries,
    events,
    keys,
    me,
    previews,
    providers,
    replays,
    subscription_actions,
    subscriptions,
    tasks,
    timeline,
    watching,
)
from relay.web.api import callbacks as received
from relay.web.openapi import describe
from relay.web.operation import Operation

_DESCRIBED: Final[tuple[Operation, ...]] = (
    *me.OPERATIONS, *keys.OPERATIONS, *accounts.OPERATIONS,
    *tasks.OPERATIONS, *watching.OPERATIONS, *timeline.OPERATIONS, *providers.OPERATIONS, *received.OPERATIONS,
    *subscriptions.OPERATIONS, *subscription_actions.OPERATIONS, *previews.OPERATIONS,
    *deliveries.OPERATIONS, *replays.OPERATIONS, *stream.OPERATIONS, *events.OPERATIONS,
    *images.OPERATIONS, *callbacks.OPERATIONS, *health.OPERATIONS, *docs.OPERATIONS, *landing.OPERATIONS,
)
OPERATIONS: Final = (*_DESCRIBED, describe(_DESCRIBED))
