"""This process among the others: its heartbeat, and who of them has none any more.

Each raises the number in its row every second. One whose number another has seen unchanged for eight seconds is dead to that one,
which removes the row and frees all that it held, in one transaction that comes to nothing if the number has changed after all: nine
seconds after the death at the latest. The eight seconds are the observer's own, by a clock that only goes forward, and they begin anew
whenever it could not see clearly: when its own heartbeat failed or came late. So an outage of the database, or of a whole machine for a
while, makes nobody dead, and neither do clocks that differ.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

BEAT_SECONDS: Final = 1.0
DEAD_SECONDS: Final = 8.0
_LATE_SECONDS: Final = 4.0


class _Seen(Struct, frozen=True):
    """A number, and since when it was that."""

    beat: int
    since: float


class Watch:
    """What one process has seen of the others. Pure: times are seconds of its clock."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._looked_at: float | None = None

    def look(self, beats: Mapping[str, int], now: float) -> dict[str, int]:
        """Who is dead, each with the number that it was last seen with. `beats`: everybody's, as read just now."""
        if self._looked_at is None or now - self._looked_at > _LATE_SECONDS:
            self._seen.clear()
        self._looked_at = now
        self._seen = {name: seen if (seen := self._seen.get(name)) and seen.beat == beat else _Seen(beat, now)
                      for name, beat in beats.items()}
        return {name: seen.beat for name, seen in self._seen.items() if now - seen.since >= DEAD_SECONDS}

    def look_away(self) -> None:
        """Nothing could be seen."""
        self._looked_at = None
