"""Whether the demo did what it promises: for each provider one event, verified, once, with an image that opens. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Receipt(NamedTuple):
    """One request that the subscriber got. `event`: its body, once its signature was verified, else None and `fault` says why.
    `at`: seconds on the clock of the demo."""

    at: float
    event: dict[str, Any] | None
    fault: str = ""


class Picture(NamedTuple):
    """What became of an event's image: where it was saved and what it is, or what is wrong with it."""

    file: str = ""
    looks: str = ""
    fault: str = ""


class Row(NamedTuple):
    """The outcome for one provider."""

    provider: str
    via: str
    seconds: float | None
    event_id: str
    picture: Picture
    faults: list[str]


def judge(tasks: Mapping[str, str], receipts: Sequence[Receipt], pictures: Mapping[str, Picture]) -> tuple[list[Row], list[str]]:
    """A row for each provider, and what is wrong beside. `tasks`: provider -> task id; `pictures`: event id -> picture."""
    rows = [_row(provider, [receipt for receipt in receipts if task_of(receipt) == task_id], pictures)
            for provider, task_id in tasks.items()]
    stray = [receipt.fault or "an event came for a task that is not of the demo"
             for receipt in receipts if task_of(receipt) not in tasks.values()]
    return rows, stray


def task_of(receipt: Receipt) -> str | None:
    """The id of the task that a verified event tells of."""
    task = _task(receipt)
    return str(task.get("id")) if task else None


def image_of(receipt: Receipt) -> str | None:
    """Where the image of a verified event opens."""
    images = _task(receipt).get("images") or []
    return str(images[0].get("url")) if images else None


def _row(provider: str, receipts: Sequence[Receipt], pictures: Mapping[str, Picture]) -> Row:
    if not receipts:
        return Row(provider, "-", None, "-", Picture(), ["no event came"])
    first = receipts[0]
    event = first.event or {}
    picture = pictures.get(str(event.get("id")), Picture(fault="the event has no image"))
    faults = [] if len(receipts) == 1 else [f"its event came {len(receipts)} times"]
    faults += _faults_of_task(event, picture)
    return Row(provider, str(_task(first).get("via") or "-"), first.at, str(event.get("id")), picture, faults)


def _faults_of_task(event: Mapping[str, Any], picture: Picture) -> list[str]:
    if event.get("type") != "task.succeeded":
        error = event["data"]["task"].get("error") or {}
        return [f"{event.get('type')}: {error.get('code')}, {error.get('message')}"]
    return [picture.fault] if picture.fault else []


def _task(receipt: Receipt) -> dict[str, Any]:
    data = (receipt.event or {}).get("data")
    task = data.get("task") if isinstance(data, dict) else None
    return task if isinstance(task, dict) else {}
