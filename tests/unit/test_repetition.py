"""The same warning again and again does not fill the log."""

import logging

from relay.observe.repetition import Repetitions


class Log:
    """What passes, with how many were left out before it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._repetitions = Repetitions(lambda: self.now)

    def say(self, wording: str, *args: object, level: int = logging.WARNING) -> str | None:
        record = logging.LogRecord("relay", level, "", 0, wording, args, None)
        if not self._repetitions.filter(record):
            return None
        return f"{record.getMessage()} {getattr(record, 'left_out', 0)}"


def test_of_warnings_that_are_worded_alike_a_few_are_said_and_then_how_many_were_not() -> None:
    log = Log()
    said = [log.say("cannot claim %s", number) for number in range(40)]
    assert said[:5] == [f"cannot claim {number} 0" for number in range(5)]
    assert said[5:] == [None] * 35
    log.now = 10.0
    assert [log.say("cannot claim %s", "again"), log.say("cannot claim %s", "again")] == ["cannot claim again 35", "cannot claim again 0"]


def test_other_warnings_and_other_levels_are_not_touched() -> None:
    log = Log()
    for _ in range(9):
        log.say("one")
    assert log.say("another") == "another 0"
    assert [log.say("one", level=level) for level in (logging.INFO, logging.ERROR)] == ["one 0", "one 0"]


def test_each_stretch_of_time_has_a_few_of_its_own() -> None:
    log = Log()
    said = 0
    for log.now in range(100):
        said += sum(log.say("cannot claim") is not None for _ in range(20))
    assert said == 10 * 5
