"""The paths of one dialect: the endpoint for a request, whatever stands at the place of `{…}`."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from relay.providers.dropin.dialect import Endpoint


class Found(NamedTuple):
    """The endpoints of one path by method, none if there is nothing there; and what stands at the place of each `{name}`."""

    endpoints: Mapping[str, Endpoint]
    values: Mapping[str, str]


_NOTHING = Found({}, {})


class Directory:
    """Looks paths up: those without `{…}` first."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._paths: dict[tuple[str, ...], dict[str, Endpoint]] = {}
        for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.path.count("{")):
            self._paths.setdefault(tuple(endpoint.path.split("/")), {})[endpoint.method] = endpoint

    def find(self, path: str) -> Found:
        parts = tuple(path.split("/"))
        plain = self._paths.get(parts)
        if plain is not None:
            return Found(plain, {})
        for wanted, endpoints in self._paths.items():
            values = _matched(wanted, parts)
            if values is not None:
                return Found(endpoints, values)
        return _NOTHING


def _matched(wanted: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, str] | None:
    if len(wanted) != len(parts):
        return None
    values = {}
    for name, part in zip(wanted, parts, strict=True):
        if name.startswith("{") and part:
            values[name[1:-1]] = part
        elif name != part:
            return None
    return values
