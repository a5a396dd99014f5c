"""Replays: telling a subscription once more, or for the first time, what happened."""

from datetime import UTC
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from starlette.responses import Response

from relay import model
from relay.errors import Conflict, NotFound
from relay.model import DeliveryStatus, Scope
from relay.web.api.subscriptions import find_subscription
from relay.web.fields import refuse
from relay.web.intake import Globs
from relay.web.listing import ListQuery, Text, When
from relay.web.operation import Answer, Call, NoBody, NoQuery, Operation, answer_json
from relay.web.pattern import check_patterns
from relay.web.shapes import Replay, page_of, replay_view

_PATH: Final = "/api/v1/replays"
_ONE: Final = f"{_PATH}/{{replay_id}}"
_TAG: Final = "Replays"

Ended = Annotated[Literal["delivered", "exhausted", "held", "cancelled"], Meta(
    description="Those whose newest delivery to this subscription stands so. Absent: all that the subscription's filters let through, "
                "told to it before or not.")]


class ReplayWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events: made from `since` on and before `until` (now, at the latest), of these `types` (patterns)."""

    since: When | None = None
    until: When | None = None
    status: Ended | None = None
    types: Globs | None = None


class ReplaysQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those of one subscription, or all."""

    subscription_id: Text | None = None


async def start_replay(call: Call[NoQuery, ReplayWish]) -> Response:
    subscription = await find_subscription(call)
    replay = await call.web.store.add_replay(_replay(call, subscription.id))
    if replay is None:  # deleted in between
        raise NotFound("There is no such subscription.")
    return answer_json(replay_view(replay), 202, {"location": call.web.seen_from_outside(f"{_PATH}/{replay.id}")})


def _replay(call: Call[NoQuery, ReplayWish], subscription_id: str) -> model.Replay:
    wish, now = call.body, call.web.clock()
    check_patterns(wish.types or (), "types")
    try:
        since, until = wish.since and wish.since.astimezone(UTC), min((wish.until or now).astimezone(UTC), now)
    except OverflowError as exc:
        raise refuse("since", "and until must be in range") from exc
    if since is not None and wish.until is not None and wish.since is not None and wish.since >= wish.until:
        raise refuse("until", "must be later than since")
    return model.Replay(
        id=call.web.new_id("rpl"), account_id=call.account_id, subscription_id=subscription_id, since=since, until=until,
        delivery_status=DeliveryStatus(wish.status) if wish.status else None, types=tuple(wish.types) if wish.types else None,
        created_at=now)


async def list_replays(call: Call[ReplaysQuery, NoBody]) -> Response:
    asked = call.query
    page = await call.web.store.replays(call.account_id, asked.subscription_id, limit=asked.limit, cursor=asked.cursor)
    return answer_json(page_of(page, replay_view))


async def show_replay(call: Call[NoQuery, NoBody]) -> Response:
    return answer_json(replay_view(_found(await call.web.store.replay(call.account_id, call.id_of("replay_id")))))


async def cancel_replay(call: Call[NoQuery, NoBody]) -> Response:
    web = call.web
    return answer_json(replay_view(_found(await web.store.cancel_replay(call.account_id, call.id_of("replay_id"), now=web.clock()))))


def _found(replay: model.Replay | None) -> model.Replay:
    if replay is None:
        raise NotFound("There is no such replay.")
    return replay


OPERATIONS = (
    Operation(
        method="POST", path="/api/v1/subscriptions/{subscription_id}/replay", id="replaySubscription", tag=_TAG,
        summary="Tell it once more what happened", handle=start_replay,
        description="In the background, a few at a time behind what happens now; while the subscription is not active the replay waits. "
                    "Each event becomes a new delivery; one that was held gives way to it and is cancelled. Events that are on their "
                    "way already, or were erased, are left out.",
        needs=Scope.SUBSCRIBE, body=ReplayWish, is_body_optional=True, example={"status": "exhausted"},
        answers={202: Answer(means="The replay, running.", shape=Replay, headers=("Location",))},
    ),
    Operation(
        method="GET", path=_PATH, id="listReplays", tag=_TAG, summary="All replays", handle=list_replays,
        needs=Scope.READ, query=ReplaysQuery, answers={200: Answer(means="Newest first.", shape=Replay, is_page=True)},
    ),
    Operation(
        method="GET", path=_ONE, id="getReplay", tag=_TAG, summary="How far a replay is", handle=show_replay,
        needs=Scope.READ, answers={200: Answer(means="The replay.", shape=Replay)},
    ),
    Operation(
        method="POST", path=f"{_ONE}/cancel", id="cancelReplay", tag=_TAG, summary="Stop a replay", handle=cancel_replay,
        description="What of it is not delivered yet is cancelled. 409 if it is done.",
        needs=Scope.SUBSCRIBE, problems=(Conflict,), answers={200: Answer(means="The cancelled replay.", shape=Replay)},
    ),
)
