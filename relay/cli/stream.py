"""Reading a stream of server-sent events (WHATWG HTML, section 9.2), one line at a time."""

from typing import NamedTuple


class Message(NamedTuple):
    """What came: `id` is the last one seen, `event` its type (empty where none was named)."""

    id: str
    event: str
    data: str


class StreamReader:
    """Lines in, messages out. `last_id` is what `Last-Event-ID` is to say on the next connection: the id of the last message that came
    whole."""

    def __init__(self) -> None:
        self.last_id = ""
        self._id = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, line: str) -> Message | None:
        """Take one line without its end; the message if the line completes one. A message without data is none."""
        if line:
            self._take(*_split(line))
            return None
        event, data = self._event, self._data
        self.last_id, self._event, self._data = self._id, "", []
        return Message(self.last_id, event, "\n".join(data)) if data else None

    def forget(self) -> None:
        """The connection is gone, and with it what was half said."""
        self._id, self._event, self._data = self.last_id, "", []

    def _take(self, name: str, value: str) -> None:
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case _:
                pass  # comments, `retry`, and what is not known


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")
