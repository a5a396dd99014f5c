"""Where settings are written, and what is wrong with names and files there."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from relay.errors import FieldProblem
from relay.settings.catalog import BY_NAME, CONFIG_NAME, PREFIX, SETTINGS, Setting

CLIENT_NAMES: Final = ("RELAY_URL", "RELAY_API_KEY")
"""What the commands that talk to a running service read; the service itself does not."""

DEFAULT: Final = "default"
ENVIRONMENT: Final = "environment"


class Found(NamedTuple):
    """A value as it was written, and where: `default`, `environment` or the path of a file."""

    text: str
    source: str


def find_settings(environ: Mapping[str, str], *,
                  defaults: Mapping[str, str] | None = None) -> tuple[dict[str, Found], list[FieldProblem]]:
    """Each setting as it was written, and everything that is wrong with names and files. `defaults` stand in for those of
    the list."""
    written, problems = _read_config_file(environ.get(CONFIG_NAME, "").strip())
    problems += [_unknown(name) for name in sorted(environ) if name.startswith(PREFIX) and not _is_known(name)]
    found = {}
    for setting in SETTINGS:
        fallback = Found((defaults or {}).get(setting.name, setting.default), DEFAULT)
        try:
            found[setting.name] = _find(setting, environ, written) or fallback
        except ValueError as exc:
            found[setting.name] = fallback
            problems.append(FieldProblem(f"{setting.name}_FILE", str(exc)))
    return found, problems


def _find(setting: Setting, environ: Mapping[str, str], written: Mapping[str, Found]) -> Found | None:
    file_name = f"{setting.name}_FILE"
    if text := environ.get(setting.name, "").strip():
        return Found(text, ENVIRONMENT)
    if setting.secret and (path := environ.get(file_name, "").strip()):
        return _read_secret(path)
    if setting.name in written:
        return written[setting.name]
    if file_name in written:
        return _read_secret(written[file_name].text)
    return None


def _read_secret(path: str) -> Found:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as exc:
        raise ValueError(f"{path} cannot be read: {_reason(exc)}") from exc
    if not text:
        raise ValueError(f"{path} is empty")
    return Found(text, path)


def _read_config_file(path: str) -> tuple[dict[str, Found], list[FieldProblem]]:
    if not path:
        return {}, []
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        return {}, [FieldProblem(CONFIG_NAME, f"{path} cannot be read: {_reason(exc)}")]
    written, problems = {}, []
    for key, value in table.items():
        name, text = PREFIX + key.upper(), _as_text(value)
        if key != key.lower():
            problems.append(FieldProblem(key, f"must be written in lower case, without {PREFIX} (in {path})"))
        elif not _is_known(name, in_file=True):
            problems.append(_unknown(name, path))
        elif text is None:
            problems.append(FieldProblem(key, f"must be a string, number, boolean or a list of them (in {path})"))
        elif text:
            written[name] = Found(text, path)
    return written, problems


def _as_text(value: object) -> str | None:
    match value:
        case bool():
            return "on" if value else "off"
        case str() | int() | float():
            return str(value).strip()
        case list():
            parts = [_as_text(part) for part in value]
            return None if None in parts else ",".join(part or "" for part in parts)
        case _:
            return None


def _reason(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return exc.strerror or type(exc).__name__
    return "it is not UTF-8" if isinstance(exc, UnicodeError) else str(exc)


def _is_known(name: str, *, in_file: bool = False) -> bool:
    base = BY_NAME.get(name.removesuffix("_FILE"))
    if name in BY_NAME or (base is not None and base.secret):
        return True
    return not in_file and name in (CONFIG_NAME, *CLIENT_NAMES)


def _unknown(name: str, path: str | None = None) -> FieldProblem:
    def spell(full: str) -> str:
        return full.removeprefix(PREFIX).lower() if path else full

    near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.75)
    meant = f"; did you mean {spell(near[0])}?" if near else ""
    place = f" in {path}" if path else ""
    return FieldProblem(spell(name), f"there is no such setting{place}{meant}")
