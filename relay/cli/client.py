"""Talking to a running service from a shell.

Where: RELAY_URL. Who: RELAY_API_KEY, else the operator's key of this machine (RELAY_ADMIN_KEY, or the `admin-key` file in the data
folder). A refusal becomes one line on stderr and exit code 1.
"""

import os
from collections.abc import Mapping
from typing import Any, Final, NoReturn, Self
from urllib.parse import quote, urlsplit

import click
import httpx

from relay import __version__
from relay.cli.address import is_loopback
from relay.cli.first_start import ADMIN_KEY_FILE
from relay.settings import find_settings, load_settings
from relay.settings.values import read_url, read_visible

DEFAULT_URL: Final = "http://127.0.0.1:8080"
_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_HELD: Final = httpx.Timeout(90.0, connect=5.0)  # an answer may be held for 60 s


class Failed(click.ClickException):
    """Printed as one line; exit code 1."""

    def show(self, file: Any = None) -> None:  # noqa: ANN401, ARG002 -- click's signature
        click.echo(f"relay: {self.message}", err=True)


class Client:
    """The API of one service, as one caller. Every method raises Failed."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url, timeout=_TIMEOUT, trust_env=uses_proxy(url),
            headers={"authorization": f"Bearer {key}", "user-agent": f"relay-cli/{__version__}"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:  # noqa: ANN401 -- JSON
        """The JSON at a path below /api/v1; None values are left out of the query."""
        return self._ask("GET", path, params=_given(query))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 -- JSON
        """What the service answers to a POST; without a body none is sent."""
        return self._ask("POST", path, json=body, headers=headers)

    def delete(self, path: str) -> Any:  # noqa: ANN401 -- JSON
        """Delete what is at a path."""
        return self._ask("DELETE", path)

    def wait(self, task_id: str, seconds: int) -> Any:  # noqa: ANN401 -- JSON
        """The task when it ends, or as it stands after so long."""
        return self._ask("GET", f"tasks/{quote(task_id, safe='')}", params={"wait": seconds}, timeout=_HELD)

    def stream(self, path: str, *, headers: Mapping[str, str], **query: Any) -> Any:  # noqa: ANN401 -- httpx's own context manager
        """An answer that does not end, as a context manager over an httpx response; None values are left out of the query."""
        return self._http.stream(
            "GET", f"/api/v1/{path}", params=_given(query), headers=dict(headers), timeout=httpx.Timeout(5.0, read=60.0))

    def _ask(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401 -- httpx's keywords, and JSON
        try:
            response = self._http.request(method, f"/api/v1/{path}", **more)
        except httpx.HTTPError as exc:
            fail_unreachable(self.url, exc)
        if not response.is_success:
            raise Failed(explain(response))
        try:
            return response.json() if response.content else {}
        except ValueError as exc:
            raise Failed(f"{self.url} answered with something else than JSON; is this a relay?") from exc


def connect() -> Client:
    """A client for the service that the environment names; closed when the command ends."""
    return click.get_current_context().with_resource(Client(service_url(), _key()))


def service_url() -> str:
    """Where the service is, without a slash at the end."""
    try:
        return read_url(os.environ.get("RELAY_URL", "").strip() or DEFAULT_URL)
    except ValueError as exc:
        raise Failed(f"RELAY_URL {exc}") from exc


def uses_proxy(url: str) -> bool:
    """Whether the proxy that the environment may name is for this URL: what is on this machine is never asked through one."""
    try:
        return not is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return True


def at(*parts: str) -> str:
    """A path of these parts, each quoted."""
    return "/".join(quote(part, safe="") for part in parts)


def explain(response: httpx.Response) -> str:
    """A refusal in one line."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return f"the service answered {response.status_code} {response.reason_phrase}".rstrip()
    errors = [f"{error.get('field')}: {error.get('message')}" for error in problem.get("errors") or () if isinstance(error, dict)]
    said = "; ".join(errors) or problem.get("detail") or problem.get("title") or response.reason_phrase
    hint = " Set RELAY_API_KEY." if response.status_code == httpx.codes.UNAUTHORIZED else ""
    return f"{said} ({response.status_code} {problem.get('code', '')}){hint}".replace(" )", ")")


def fail_unreachable(url: str, exc: Exception) -> NoReturn:
    """Raise Failed in words that say what to do."""
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
        raise Failed(f"nothing answers at {url}. Start it with `relay serve`, or say with RELAY_URL where it is.") from exc
    if isinstance(exc, httpx.TimeoutException):
        raise Failed(f"{url} did not answer in time") from exc
    raise Failed(f"{url}: {str(exc) or type(exc).__name__}") from exc


def _key() -> str:
    if key := os.environ.get("RELAY_API_KEY", "").strip():
        return _visible(key, "RELAY_API_KEY")
    found, _ = find_settings(os.environ)
    if key := found["RELAY_ADMIN_KEY"].text:
        return _visible(key, "RELAY_ADMIN_KEY")
    path = load_settings(os.environ).data_dir / ADMIN_KEY_FILE
    try:
        return _visible(path.read_text(encoding="utf-8", errors="replace").strip(), str(path))
    except OSError as exc:
        raise Failed(f"there is no API key: set RELAY_API_KEY, or run this where {path} is") from exc


def _visible(key: str, place: str) -> str:
    """What cannot stand in a header is refused here, where the message does not hold the key."""
    try:
        return read_visible(key)
    except ValueError as exc:
        raise Failed(f"the API key in {place} {exc}") from exc


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}
