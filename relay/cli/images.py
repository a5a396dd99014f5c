"""Saving the images of a task."""

import os
from pathlib import Path
from typing import Any, Final

import httpx

from relay.cli.client import uses_proxy

_ENDINGS: Final = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
_PATIENCE: Final = 60.0


class NotSaved(Exception):
    """An image could not be fetched; why, in words."""


def save_images(task: dict[str, Any], to: str | None) -> list[Path]:
    """Save the images of a task: `to` is a folder (one that is there, or any name that ends in a slash), or a file name; by default the
    task's id in the current folder. Several images are numbered. Raises NotSaved, OSError."""
    urls = [image["url"] for image in task["images"]]
    return [_save(*_fetch(url), _stem(task["id"], to), f"-{number}" if len(urls) > 1 else "") for number, url in enumerate(urls, start=1)]


def _fetch(url: str) -> tuple[bytes, str]:
    try:
        response = httpx.get(url, follow_redirects=True, timeout=_PATIENCE, trust_env=uses_proxy(url))
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise NotSaved(f"the image could not be fetched: {exc}") from exc
    if not response.is_success:
        raise NotSaved(f"the image could not be fetched: {httpx.URL(url).host} answered {response.status_code} {response.reason_phrase}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.content, _ENDINGS.get(kind, Path(httpx.URL(url).path).suffix)


def _stem(task_id: str, to: str | None) -> Path:
    if to is None:
        return Path(task_id)
    if to.endswith(("/", os.sep)):
        Path(to).mkdir(parents=True, exist_ok=True)
    return Path(to) / task_id if Path(to).is_dir() else Path(to)


def _save(data: bytes, ending: str, stem: Path, number: str) -> Path:
    path = stem.with_name(f"{stem.stem}{number}{stem.suffix or ending}")
    path.write_bytes(data)
    return path
