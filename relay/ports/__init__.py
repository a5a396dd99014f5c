"""What the parts ask of each other. A contract stands in the docstrings; a conformance suite holds every implementation to it.

The parts never import each other: they meet in app.py, through these.
"""

from relay.ports.access import Caller, Gate
from relay.ports.files import Archive, Fetcher
from relay.ports.meter import Meter, NullMeter
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
    Page,
    Settlement,
    Store,
    SubscriptionFilter,
    TaskFilter,
    Timeline,
)
from relay.ports.tasks import CallbackSubscription, Submitted, Tasks

__all__ = [
    "Applied", "Archive", "CallbackFilter", "CallbackSubscription", "CallbackTarget", "Caller", "Claim", "DeliveryFilter",
    "EventFilter", "Fetcher", "Figures", "Gate", "Idempotency", "InputImage", "Job", "JobClaim", "Limits", "Message", "Meter",
    "ModelInfo", "NullMeter", "Page", "Parameter", "Provider", "ProviderConfig", "ProviderInfo", "Rate", "Settlement",
    "Store", "Submitted", "SubscriptionFilter", "TaskFilter", "TaskRequest", "Tasks", "Timeline", "WatchRequest",
]
