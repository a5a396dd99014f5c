"""What the parts ask of each other. A contract stands in the docstrings; a conformance suite holds every implementation to it.

The parts never import each other: they meet in app.py, through these.
"""

from relay.ports.access import Caller, Gate
from relay.ports.call import Call, Called, Calls, Repeat
from relay.ports.files import Archive, Fetcher
from relay.ports.fleet import Alone, Fleet, Role
from relay.ports.formats import Formats, Outgoing, Prepare
from relay.ports.meter import Meter, NullMeter
from relay.ports.page import Page
from relay.ports.provider import (
    CallbackTarget,
    InputImage,
    Limits,
    Message,
    ModelInfo,
    Parameter,
    Provider,
    ProviderConfig,
    ProviderInfo,
    Rate,
    TaskRequest,
    WatchRequest,
)
from relay.ports.replay import Replays
from relay.ports.retention import Count, Retention
from relay.ports.secret import Sealed, Secrets
from relay.ports.store import (
    Applied,
    CallbackFilter,
    Claim,
    DeliveryFilter,
    EventFilter,
    Figures,
    Idempotency,
    Job,
    JobClaim,
    Settlement,
    Store,
    SubscriptionFilter,
    Taker,
    TaskFilter,
    Timeline,
)
from relay.ports.tasks import Errand, Received, Submitted, Tasks

__all__ = [
    "Alone", "Applied", "Archive", "Call", "CallbackFilter", "CallbackTarget", "Called", "Caller", "Calls", "Claim", "Count",
    "DeliveryFilter", "Errand", "EventFilter", "Fetcher", "Figures", "Fleet", "Formats", "Gate", "Idempotency", "InputImage", "Job",
    "JobClaim", "Limits", "Message", "Meter", "ModelInfo", "NullMeter", "Outgoing", "Page", "Parameter", "Prepare", "Provider",
    "ProviderConfig", "ProviderInfo", "Rate", "Received", "Repeat", "Replays", "Retention", "Role", "Sealed", "Secrets", "Settlement",
    "Store", "Submitted", "SubscriptionFilter", "Taker", "TaskFilter", "TaskRequest", "Tasks", "Timeline", "WatchRequest",
]
