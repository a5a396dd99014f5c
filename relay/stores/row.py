"""Between structs and rows: times, JSON, and one pair of functions for each noun.

Some of it is done several times for every event. So what names a state is looked up rather than constructed, and JSON that says nothing
is not parsed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import msgspec

from relay.model import (
    Account,
    Attempt,
    Callback,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Event,
    EventType,
    Image,
    Key,
    Note,
    Replay,
    ReplayStatus,
    Scope,
    Subscription,
    SubscriptionStatus,
    Task,
    TaskError,
    TaskStatus,
    Verdict,
    Via,
)
from relay.ports.call import Call
from relay.view import to_json

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TASK_STATUS: Final = {str(one): one for one in TaskStatus}
_DELIVERY_STATUS: Final = {str(one): one for one in DeliveryStatus}
_EVENT_TYPE: Final = {str(one): one for one in EventType}
_images = msgspec.json.Decoder(tuple[Image, ...])
_task_error = msgspec.json.Decoder(TaskError)
_scopes = msgspec.json.Decoder(tuple[Scope, ...])
_strings = msgspec.json.Decoder(tuple[str, ...])
_numbers = msgspec.json.Decoder(tuple[float, ...])
_anything = msgspec.json.Decoder()
Value = TypeVar("Value")
Parameters = Mapping[str, Any]


class Row(Protocol):
    """What a database gives: values by the names of columns."""

    def __getitem__(self, column: str, /) -> Any: ...  # noqa: ANN401 -- whatever stands there


def micros(at: datetime) -> int:
    """Microseconds since 1970: how a time is stored."""
    span = at - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def micros_or_none(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def moment(stored: int) -> datetime:
    return _EPOCH + stored * _MICROSECOND


def moment_or_none(stored: int | None) -> datetime | None:
    return None if stored is None else moment(stored)


def json_text(value: Any) -> str:  # noqa: ANN401 -- anything that msgspec can encode
    return to_json(value).decode()


def _json_or_none(value: Any) -> str | None:  # noqa: ANN401 -- as above
    return None if value is None else json_text(value)


def _read_object(stored: str) -> dict[str, Any]:
    found: dict[str, Any] = {} if stored == "{}" else _anything.decode(stored)
    return found


def _read_or_none(decoder: msgspec.json.Decoder[Value], stored: str | None) -> Value | None:
    return None if stored is None else decoder.decode(stored)


def read_account(row: Row) -> Account:
    return Account(id=row["id"], name=row["name"], created_at=moment(row["created_at"]), retention=row["retention"])


def key_row(key: Key) -> Parameters:
    return {
        "id": key.id, "account_id": key.account_id, "name": key.name, "hash": key.hash, "scopes": json_text(key.scopes),
        "created_at": micros(key.created_at), "revoked_at": micros_or_none(key.revoked_at), "via": _json_or_none(key.via or None),
    }


def read_key(row: Row) -> Key:
    return Key(
        id=row["id"], account_id=row["account_id"], name=row["name"], hash=row["hash"], scopes=_scopes.decode(row["scopes"]),
        created_at=moment(row["created_at"]), revoked_at=moment_or_none(row["revoked_at"]),
        via=_read_or_none(_anything, row["via"]) or {},
    )


def read_call(row: Row) -> Call:
    return Call(task_id=row["task_id"], fingerprint=row["fingerprint"], native=_anything.decode(row["native"]))


def task_row(task: Task) -> dict[str, Any]:
    """Without due_at and leased, which are the store's own."""
    return {
        "id": task.id, "account_id": task.account_id, "provider": task.provider, "model": task.model, "prompt": task.prompt,
        "input": json_text(task.input), "status": str(task.status), "progress": task.progress, "images": json_text(task.images),
        "error": _json_or_none(task.error), "provider_task_id": task.provider_task_id,
        "via": str(task.via) if task.via else None, "cost": task.cost, "metadata": json_text(task.metadata),
        "created_at": micros(task.created_at), "submitted_at": micros_or_none(task.submitted_at),
        "completed_at": micros_or_none(task.completed_at), "accepted": task.accepted, "watched": task.watched,
        "sends": task.sends, "polls": task.polls, "deadline_at": micros_or_none(task.deadline_at), "dropin": task.dropin,
    }


def read_task(row: Row) -> Task:
    return Task(
        id=row["id"], account_id=row["account_id"], provider=row["provider"], model=row["model"], prompt=row["prompt"],
        input=_read_object(row["input"]), status=_TASK_STATUS[row["status"]], progress=row["progress"],
        images=() if row["images"] == "[]" else _images.decode(row["images"]), error=_read_or_none(_task_error, row["error"]),
        provider_task_id=row["provider_task_id"], via=Via(row["via"]) if row["via"] else None, cost=row["cost"],
        metadata=_read_object(row["metadata"]), created_at=moment(row["created_at"]),
        submitted_at=moment_or_none(row["submitted_at"]), completed_at=moment_or_none(row["completed_at"]),
        accepted=bool(row["accepted"]), watched=bool(row["watched"]), sends=row["sends"], polls=row["polls"],
        deadline_at=moment_or_none(row["deadline_at"]), dropin=row["dropin"],
    )


def note_row(note: Note) -> Parameters:
    return {"task_id": note.task_id, "at": micros(note.at), "kind": note.kind, "detail": note.detail}


def read_note(row: Row) -> Note:
    return Note(task_id=row["task_id"], at=moment(row["at"]), kind=row["kind"], detail=row["detail"])


def callback_row(callback: Callback) -> Parameters:
    return {
        "id": callback.id, "task_id": callback.task_id, "account_id": callback.account_id, "provider": callback.provider,
        "verdict": str(callback.verdict), "headers": json_text(callback.headers), "body": callback.body,
        "received_at": micros(callback.received_at),
    }


def read_callback(row: Row) -> Callback:
    return Callback(
        id=row["id"], task_id=row["task_id"], account_id=row["account_id"], provider=row["provider"],
        verdict=Verdict(row["verdict"]), headers=_anything.decode(row["headers"]), body=row["body"],
        received_at=moment(row["received_at"]),
    )


def event_row(event: Event) -> Parameters:
    return {
        "id": event.id, "account_id": event.account_id, "type": str(event.type), "created_at": micros(event.created_at),
        "body": event.body, "task_id": event.task_id, "provider": event.provider, "metadata": json_text(event.metadata),
        "subscription_id": event.subscription_id, "about_id": event.about_id,
    }


def read_event(row: Row) -> Event:
    return Event(
        id=row["id"], account_id=row["account_id"], type=_EVENT_TYPE[row["type"]], created_at=moment(row["created_at"]),
        body=row["body"], task_id=row["task_id"], provider=row["provider"], metadata=_read_object(row["metadata"]),
        subscription_id=row["subscription_id"], about_id=row["about_id"],
    )


def subscription_row(subscription: Subscription) -> dict[str, Any]:
    """Without identity, which is the store's own."""
    row = msgspec.structs.asdict(subscription)
    for name in ("events", "signatures"):
        row[name] = json_text(row[name])
    for name in ("providers", "metadata", "retry_schedule", "template", "allow_cidrs"):
        row[name] = _json_or_none(row[name])
    for name in ("previous_secret_until", "failing_since", "deleted_at"):
        row[name] = micros_or_none(row[name])
    reason = subscription.disabled_reason
    return {**row, "status": subscription.status.value, "disabled_reason": reason.value if reason else None,
            "created_at": micros(subscription.created_at)}


def read_subscription(row: Row) -> Subscription:
    return Subscription(
        id=row["id"], account_id=row["account_id"], url=row["url"], events=_strings.decode(row["events"]),
        providers=_read_or_none(_strings, row["providers"]), metadata=_read_or_none(_anything, row["metadata"]),
        format=row["format"], description=row["description"], sealed_headers=row["sealed_headers"],
        rate_per_second=row["rate_per_second"], max_concurrent=row["max_concurrent"], ordered=bool(row["ordered"]),
        retry_schedule=_read_or_none(_numbers, row["retry_schedule"]), signatures=_strings.decode(row["signatures"]),
        template=_read_or_none(_anything, row["template"]), verify=row["verify"],
        allow_cidrs=_read_or_none(_strings, row["allow_cidrs"]), sealed_secret=row["sealed_secret"],
        previous_sealed_secret=row["previous_sealed_secret"], public_key=row["public_key"],
        sealed_private_key=row["sealed_private_key"], previous_sealed_private_key=row["previous_sealed_private_key"],
        previous_secret_until=moment_or_none(row["previous_secret_until"]),
        sealed_callback_secret=row["sealed_callback_secret"], task_id=row["task_id"], status=SubscriptionStatus(row["status"]),
        disabled_reason=DisabledReason(row["disabled_reason"]) if row["disabled_reason"] else None,
        failing_since=moment_or_none(row["failing_since"]), slowness=row["slowness"], created_at=moment(row["created_at"]),
        deleted_at=moment_or_none(row["deleted_at"]),
    )


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """Without leased and behind, which are the store's own."""
    return {
        "id": delivery.id, "account_id": delivery.account_id, "event_id": delivery.event_id,
        "event_type": str(delivery.event_type), "subscription_id": delivery.subscription_id, "task_id": delivery.task_id,
        "status": str(delivery.status), "attempts": delivery.attempts, "manual": delivery.manual,
        "next_attempt_at": micros_or_none(delivery.next_attempt_at), "created_at": micros(delivery.created_at),
        "completed_at": micros_or_none(delivery.completed_at), "replay_id": delivery.replay_id,
    }


def read_delivery(row: Row) -> Delivery:
    return Delivery(
        id=row["id"], account_id=row["account_id"], event_id=row["event_id"], event_type=_EVENT_TYPE[row["event_type"]],
        subscription_id=row["subscription_id"], task_id=row["task_id"], status=_DELIVERY_STATUS[row["status"]],
        attempts=row["attempts"], manual=bool(row["manual"]), next_attempt_at=moment_or_none(row["next_attempt_at"]),
        created_at=moment(row["created_at"]), completed_at=moment_or_none(row["completed_at"]), replay_id=row["replay_id"],
    )


def replay_row(replay: Replay) -> Parameters:
    """Without how far it came, which is the store's own."""
    status = replay.delivery_status
    return {
        "id": replay.id, "account_id": replay.account_id, "subscription_id": replay.subscription_id,
        "since": micros_or_none(replay.since), "until": micros(replay.until), "delivery_status": status.value if status else None,
        "types": _json_or_none(replay.types), "status": replay.status.value, "created_at": micros(replay.created_at),
    }


def read_replay(row: Row) -> Replay:
    """`untried` of the deliveries that were made are waiting for their first attempt."""
    return Replay(
        id=row["id"], account_id=row["account_id"], subscription_id=row["subscription_id"], since=moment_or_none(row["since"]),
        until=moment(row["until"]), delivery_status=DeliveryStatus(row["delivery_status"]) if row["delivery_status"] else None,
        types=_read_or_none(_strings, row["types"]), status=ReplayStatus(row["status"]), total=row["total"],
        done=row["made"] - row["untried"], created_at=moment(row["created_at"]), completed_at=moment_or_none(row["completed_at"]),
    )


def attempt_row(attempt: Attempt) -> Parameters:
    return {
        "id": attempt.id, "delivery_id": attempt.delivery_id, "number": attempt.number, "started_at": micros(attempt.started_at),
        "duration_ms": attempt.duration_ms, "status_code": attempt.status_code, "error": attempt.error,
        "response_body": attempt.response_body,
    }


def read_attempt(row: Row) -> Attempt:
    return Attempt(
        id=row["id"], delivery_id=row["delivery_id"], number=row["number"], started_at=moment(row["started_at"]),
        duration_ms=row["duration_ms"], status_code=row["status_code"], error=row["error"], response_body=row["response_body"],
    )
