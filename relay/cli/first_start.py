"""What the first start makes: the data folder, the secret keys, one admin key.

A key file appears whole or not at all: it is written and synced under another name, then renamed, while the folder is locked;
so two starts at the same moment agree on one key, and a start that is cut short leaves nothing half-written.

Keys are not made beside a database that is there already: what it holds was encrypted and handed out with other keys, and
new ones would make it silently useless.

Processes that share a PostgreSQL database are given the same secret keys. If they are given no admin key they make it from those, so that
it is the same for all of them, and opens the database whoever started last.
"""

import base64
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from relay.errors import ConfigError, FieldProblem
from relay.settings import Settings
from relay.settings.values import read_admin_key, read_secret_keys
from relay.signing import derive_key

SECRET_KEYS_FILE: Final = "secret-keys"  # noqa: S105 -- a file name
ADMIN_KEY_FILE: Final = "admin-key"
_Value = TypeVar("_Value")


class Prepared(NamedTuple):
    """The settings with all keys filled in. `admin_key_file` is where the admin key stands, None if the operator gave it;
    `is_new`: it was made just now."""

    settings: Settings
    admin_key_file: Path | None
    is_new: bool


def prepare_data_dir(settings: Settings) -> Prepared:
    """Make what is not there yet. Raises ConfigError."""
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder):
            secret_keys = settings.secret_keys or _secret_keys(settings)
            if settings.admin_key:
                return Prepared(msgspec.structs.replace(settings, secret_keys=secret_keys), None, is_new=False)
            path = folder / ADMIN_KEY_FILE
            is_new = not path.exists()
            if settings.database_url:
                is_new = _write_shared_admin_key(path, secret_keys)
            text = _read_or_make(path, lambda: f"rly_{secrets.token_urlsafe(32)}")
            admin_key = _checked("RELAY_ADMIN_KEY", path, text, read_admin_key)
            return Prepared(msgspec.structs.replace(settings, secret_keys=secret_keys, admin_key=admin_key), path, is_new)
    except (FileExistsError, NotADirectoryError) as exc:
        raise ConfigError([FieldProblem("RELAY_DATA_DIR", f"{exc.filename or folder} is not a folder")]) from exc
    except OSError as exc:
        raise ConfigError([FieldProblem("RELAY_DATA_DIR", f"{exc.filename or folder}: {exc.strerror}")]) from exc


def _secret_keys(settings: Settings) -> tuple[str, ...]:
    path = settings.data_dir / SECRET_KEYS_FILE
    if not path.exists() and settings.database_path.exists():
        raise ConfigError([FieldProblem("RELAY_SECRET_KEYS", f"{settings.database_path} was made with keys that are not here: "
                                        f"give them, or bring back {path}")])
    return _checked("RELAY_SECRET_KEYS", path, _read_or_make(path, lambda: secrets.token_urlsafe(48)), read_secret_keys)


def _write_shared_admin_key(path: Path, secret_keys: Sequence[str]) -> bool:
    """By the oldest secret key, which stays when a new one is put in front. False if it stood there."""
    key = "rly_" + base64.urlsafe_b64encode(derive_key(secret_keys[-1], "admin key")).decode().rstrip("=")
    if path.exists() and _read(path) == key:
        return False
    _write(path, key)
    return True


def _read_or_make(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        _write(path, make())
    return _read(path)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    with draft.open("w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _checked(name: str, path: Path, text: str, read: Callable[[str], _Value]) -> _Value:
    try:
        return read(text)
    except ValueError as exc:
        raise ConfigError([FieldProblem(name, f"{exc} (in {path})")]) from exc


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder against other starts; what was renamed in it is durable afterwards."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)
