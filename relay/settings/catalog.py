"""Every setting that there is: name, default, meaning, kind. It drives reading, `relay config` and the table in the README."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from relay.settings.values import (
    choice,
    hosts_of,
    integer,
    read_admin_key,
    read_cidrs,
    read_database,
    read_duration,
    read_durations,
    read_rate,
    read_secret_keys,
    read_span,
    read_switch,
    read_text,
    read_url,
    read_visible,
)

PREFIX: Final = "RELAY_"
CONFIG_NAME: Final = "RELAY_CONFIG"
PROVIDER_NAMES: Final = ("serevix", "apiframe", "segmind", "kie", "yescale")


class Setting(NamedTuple):
    """One line of the list. `read` raises ValueError. `shown` says in words what rules where the default is empty."""

    name: str
    default: str
    meaning: str
    read: Callable[[str], Any]
    secret: bool = False
    shown: str = "none"


def _provider_settings(name: str) -> list[Setting]:
    prefix = f"{PREFIX}{name.upper()}"
    return [
        Setting(f"{prefix}_API_KEY", "", "the key for this provider; without one it is not offered", read_visible, secret=True),
        Setting(f"{prefix}_BASE_URL", "", "all that stands before the path in the provider's document", read_url,
                shown="none" if name == "yescale" else "the provider's own"),
        Setting(f"{prefix}_TIMEOUT", "", "how long one HTTP request may take", read_span,
                shown="180s" if name in ("segmind", "yescale") else "30s"),
        Setting(f"{prefix}_DEADLINE", "30m", "from submission until a task ends as `timeout` or `outcome_unknown`", read_span),
        Setting(f"{prefix}_MAX_CONCURRENT", "", "tasks that run there at a time", integer(1, 1_000_000), shown="the provider's limit"),
        Setting(f"{prefix}_RATE", "", "new tasks in a span, such as `20/10s`", read_rate, shown="the provider's limit"),
        Setting(f"{PREFIX}DROPIN_{name.upper()}_VIA", "", "the provider that makes the pictures of this drop-in", choice(*PROVIDER_NAMES),
                shown="the same"),
    ]


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("RELAY_HOST", "127.0.0.1", "the address to listen on", read_text),
    Setting("RELAY_PORT", "8080", "the port to listen on; 0 takes a free one", integer(0, 65535)),
    Setting("RELAY_PUBLIC_URL", "", "where providers and browsers reach Relay; without it callback providers are polled; "
            "a path in it is for your proxy to take away", read_url),
    Setting("RELAY_DATA_DIR", "relay-data", "the folder for the database, keys and kept images", Path),
    Setting("RELAY_DATABASE_URL", "", "`sqlite:///relative`, `sqlite:////absolute` or `postgresql://user:password@host/database`",
            read_database, secret=True, shown="`relay.db` in the data folder"),
    Setting("RELAY_SECRET_KEYS", "", "comma-separated keys of 32 characters or more, the newest first: they sign links and callback "
            "addresses and encrypt stored secrets", read_secret_keys, secret=True, shown="made on first start"),
    Setting("RELAY_ADMIN_KEY", "", "the first API key: `rly_` and 32 to 128 of `A-Za-z0-9_-`; with PostgreSQL made from the secret keys, "
            "so that all processes have the same", read_admin_key, secret=True, shown="made on first start"),
    *(setting for name in PROVIDER_NAMES for setting in _provider_settings(name)),
    Setting("RELAY_KIE_WEBHOOK_HMAC_KEY", "", "Kie's webhook HMAC key; when set, its callbacks must be signed", read_visible, secret=True),
    Setting("RELAY_KIE_CONFIRM", "off", "take Kie's callbacks as hints and fetch each result", read_switch),
    Setting("RELAY_DROPIN_HOSTS", "", "host names whose root is a drop-in, such as `bfl.example.com=serevix,images.example.com=yescale`",
            hosts_of(*PROVIDER_NAMES)),
    Setting("RELAY_DROPIN_SEGMIND_HOLD", "25s", "how long this drop-in holds a call before it answers 504; Segmind's SDK waits 30 s",
            read_span),
    Setting("RELAY_DROPIN_YESCALE_HOLD", "55s", "the same; nginx waits 60 s", read_span),
    Setting("RELAY_RECONCILE_AFTER", "60s", "how late a callback may be before the provider is asked", read_span),
    Setting("RELAY_ALLOW_CIDRS", "", "private ranges, comma-separated, that subscribers may live in; there plain http is allowed",
            read_cidrs),
    Setting("RELAY_ALLOW_HTTP", "off", "allow plain http to subscribers elsewhere", read_switch),
    Setting("RELAY_RETENTION", "30d", "how long finished things are kept", read_span),
    Setting("RELAY_IMAGE_LINK_TTL", "7d", "how long a signed image link opens", read_span),
    Setting("RELAY_RETRY_SCHEDULE", "0s,5s,5m,30m,2h,5h,10h,14h,20h,24h", "the wait before each attempt of a delivery", read_durations),
    Setting("RELAY_DELIVERY_TIMEOUT", "20s", "how long a subscriber may take to answer, in all", read_span),
    Setting("RELAY_SHUTDOWN_GRACE", "20s", "how long work in flight is awaited at the stop", read_duration),
    Setting("RELAY_LOG", "", "`json` or `text`", choice("json", "text"), shown="text on a terminal, else json"),
    Setting("RELAY_LOG_LEVEL", "info", "`debug`, `info`, `warning` or `error`", choice("debug", "info", "warning", "error")),
)

BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


def settings_table() -> str:
    """The table of the README, in Markdown. `NAME` stands for a provider's name in capitals."""
    rows = [_row(setting.name, setting.meaning, setting.shown, setting.default) for setting in SETTINGS
            if not any(setting.name == each.name for name in PROVIDER_NAMES for each in _provider_settings(name))]
    each = [_row(setting.name.replace("SEREVIX", "NAME"), setting.meaning, _shown_for_all(setting), setting.default)
            for setting in _provider_settings("serevix")]
    place = next(number for number, row in enumerate(rows) if "RELAY_KIE_" in row)
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows[:place], *each, *rows[place:]]) + "\n"


def _row(name: str, meaning: str, shown: str, default: str) -> str:
    return f"| `{name}` | {f'`{default}`' if default else shown} | {meaning} |"


def _shown_for_all(setting: Setting) -> str:
    return "30s; 180s where the connection is held" if setting.name.endswith("_TIMEOUT") else setting.shown
