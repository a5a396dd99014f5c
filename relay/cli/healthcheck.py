"""`relay healthcheck`."""

import os
from typing import Final

import click
import httpx

from relay.cli.client import Failed, explain, fail_unreachable, service_url, uses_proxy
from relay.settings import listen_url, load_settings

_PATIENCE: Final = 8.0  # seconds; the service takes up to 5 to say that its store is stuck


@click.command("healthcheck")
def command() -> None:
    """Tell by the exit code whether the service is ready.

    Asks RELAY_URL; without it, the address that this machine's settings name. For containers: 0 ready, 1 not.
    """
    url = service_url() if os.environ.get("RELAY_URL") else _local_url()
    try:
        response = httpx.get(f"{url}/readyz", timeout=_PATIENCE, trust_env=uses_proxy(url))
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        fail_unreachable(url, exc)
    if not response.is_success:
        raise Failed(f"not ready: {explain(response)}")
    click.echo("ready")


def _local_url() -> str:
    settings = load_settings(os.environ)
    return listen_url(settings.host, settings.port)
