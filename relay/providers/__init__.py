"""One folder per provider: all that Relay knows of Kie is in providers/kie/."""

from collections.abc import Callable, Mapping
from typing import Final

from relay.ports.provider import Provider
from relay.providers.apiframe.client import Apiframe
from relay.providers.apiframe.dropin import ApiframeDropin
from relay.providers.dropin.dialect import Dialect
from relay.providers.kie.client import Kie
from relay.providers.kie.dropin import KieDropin
from relay.providers.segmind.client import Segmind
from relay.providers.segmind.dropin import SegmindDropin
from relay.providers.serevix.client import Serevix
from relay.providers.serevix.dropin import SerevixDropin
from relay.providers.yescale.client import Yescale
from relay.providers.yescale.dropin import YescaleDropin

PROVIDERS: Final[Mapping[str, Callable[..., Provider]]] = {
    "serevix": Serevix, "apiframe": Apiframe, "segmind": Segmind, "kie": Kie, "yescale": Yescale,
}
DIALECTS: Final[tuple[Callable[[], Dialect], ...]] = (SerevixDropin, ApiframeDropin, SegmindDropin, KieDropin, YescaleDropin)
"""The wire formats in which Relay stands in the place of a provider."""
