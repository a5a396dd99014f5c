"""RELAY_* read once: every bad key reported together, secrets masked.

A value comes from the environment, else from the file that `RELAY_…_FILE` names (secrets only), else from the TOML file
that RELAY_CONFIG names (same names in lower case, without `RELAY_`), else it is the default. An empty variable counts as
absent, because compose and unit files pass empty ones on. A name that nobody reads is an error: a typing mistake must not
silently become a default.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct

from relay.errors import ConfigError, FieldProblem
from relay.ports import ProviderConfig
from relay.settings.catalog import PREFIX, PROVIDER_NAMES, SETTINGS, Setting, settings_table
from relay.settings.sources import CLIENT_NAMES, DEFAULT, ENVIRONMENT, Found, find_settings

__all__ = ["CLIENT_NAMES", "DEFAULT", "MASK", "PROVIDER_NAMES", "SETTINGS", "Settings", "Shown", "find_settings", "listen_url",
           "load_settings", "settings_table", "show_settings"]

MASK: Final = "********"
_SHARED: Final = "RELAY_SECRET_KEYS"


class Settings(Struct, frozen=True, kw_only=True):
    """What the operator decided. Spans are seconds. `log` None: text where stderr is a terminal, else JSON. `secret_keys` and
    `admin_key` are empty where they are to be made on the first start. By drop-in: its host names point to it, who makes its pictures where
    that is another, and how long it holds a call. `database_url`: that of PostgreSQL; None: the file counts."""

    host: str
    port: int
    public_url: str | None
    data_dir: Path
    database_path: Path
    database_url: str | None
    secret_keys: tuple[str, ...]
    admin_key: str
    providers: dict[str, ProviderConfig]
    dropin_hosts: dict[str, str]
    dropin_via: dict[str, str]
    dropin_holds: dict[str, float]
    reconcile_after: float
    allow_cidrs: tuple[IPv4Network | IPv6Network, ...]
    allow_http: bool
    retention: float
    image_link_ttl: float
    retry_schedule: tuple[float, ...]
    delivery_timeout: float
    shutdown_grace: float
    log: str | None
    log_level: str

    @property
    def own_url(self) -> str:
        """Where this process is reached, without a trailing slash: the public URL, else the address it listens on."""
        return self.public_url or listen_url(self.host, self.port)

    def __repr__(self) -> str:
        """Without any secret, so that no traceback or log line can spill one."""
        return f"Settings(host={self.host!r}, port={self.port}, data_dir={str(self.data_dir)!r}, …)"


def listen_url(host: str, port: int) -> str:
    """The URL of a socket bound to `host`; one that is bound to all addresses is reached on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 -- compared with, not bound to
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Shown(NamedTuple):
    """A setting as it may be shown, and where it stands: `default`, `environment` or the path of a file."""

    name: str
    value: str
    source: str


def load_settings(environ: Mapping[str, str], *, defaults: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. `defaults` stand in for those of the list. Raises ConfigError with every problem at once."""
    found, problems = find_settings(environ, defaults=defaults)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        written = found[setting.name]
        try:
            values[setting.name.removeprefix(PREFIX).lower()] = setting.read(written.text) if written.text else None
        except ValueError as exc:
            problems.append(FieldProblem(setting.name, _explain(setting, written, exc)))
    problems += _not_shared(values, found)
    if problems:
        raise ConfigError(problems)
    return _build(values)


def show_settings(environ: Mapping[str, str]) -> list[Shown]:
    """Every setting in force and its source, secrets masked."""
    found, _ = find_settings(environ)
    return [Shown(setting.name, _masked(setting, found[setting.name]), found[setting.name].source) for setting in SETTINGS]


def _not_shared(values: Mapping[str, Any], found: Mapping[str, Found]) -> list[FieldProblem]:
    """What processes on several machines can only have in common if it is given to each of them."""
    if not isinstance(values.get("database_url"), str) or found[_SHARED].text:
        return []
    return [FieldProblem(_SHARED, "must be given with PostgreSQL: all processes on one database need the same")]


def _build(values: Mapping[str, Any]) -> Settings:
    database: Path | str | None = values["database_url"]
    whole: dict[str, Any] = {
        **{name: values.get(name) for name in Settings.__struct_fields__},
        "providers": {name: _provider_config(name, values) for name in PROVIDER_NAMES},
        "dropin_hosts": values["dropin_hosts"] or {},
        "dropin_via": _dropin_settings("via", values),
        "dropin_holds": _dropin_settings("hold", values),
        "database_path": database if isinstance(database, Path) else values["data_dir"] / "relay.db",
        "database_url": database if isinstance(database, str) else None,
        "secret_keys": values["secret_keys"] or (),
        "admin_key": values["admin_key"] or "",
        "allow_cidrs": values["allow_cidrs"] or (),
    }
    return Settings(**whole)


def _dropin_settings(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """By the name of the drop-in; those that are not set are not there."""
    return {name: value for name in PROVIDER_NAMES if (value := values.get(f"dropin_{name}_{kind}")) is not None}


def _provider_config(name: str, values: Mapping[str, Any]) -> ProviderConfig:
    given = {field: values.get(f"{name}_{field}") for field in ProviderConfig.__struct_fields__}
    return ProviderConfig(**{field: value for field, value in given.items() if value is not None})


def _explain(setting: Setting, written: Found, exc: ValueError) -> str:
    given = "" if setting.secret else f", not {_without_credentials(written.text)!r}"
    place = "" if written.source in (DEFAULT, ENVIRONMENT) else f" (in {written.source})"
    hint = ("; Kubernetes sets this for a Service named relay: put `enableServiceLinks: false` in the pod or rename the Service"
            if written.text.startswith("tcp://") else "")
    return f"{exc}{given}{place}{hint}"


def _without_credentials(text: str) -> str:
    """A URL's user name, password and query may be secrets, though the setting is none."""
    return re.sub(r"\?.*", f"?{MASK}", re.sub(r"//.*@", f"//{MASK}@", text))


def _masked(setting: Setting, written: Found) -> str:
    if not written.text:
        return setting.shown.replace("`", "")
    return MASK if setting.secret else written.text
