"""One folder per provider: all that Relay knows of Kie is in providers/kie/."""

from collections.abc import Callable, Mapping
from typing import Final

from relay.ports.provider import Provider
from relay.providers.apiframe.client import Apiframe
from relay.providers.kie.client import Kie
from relay.providers.segmind.client import Segmind
from relay.providers.serevix.client import Serevix
from relay.providers.yescale.client import Yescale

PROVIDERS: Final[Mapping[str, Callable[..., Provider]]] = {
    "serevix": Serevix, "apiframe": Apiframe, "segmind": Segmind, "kie": Kie, "yescale": Yescale,
}
