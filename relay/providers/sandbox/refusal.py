"""The ways in which a stand-in says no, before its provider's own words are put to it."""

from enum import StrEnum

from relay.errors import FieldProblem


class Why(StrEnum):
    """A closed set: each stand-in maps every one to a status and a body of its provider."""

    KEY = "key"
    CREDITS = "credits"
    RATE = "rate"
    FIELDS = "fields"
    BODY = "body"
    MEDIA = "media"
    LARGE = "large"
    LATE = "late"
    PATH = "path"
    METHOD = "method"
    MODERATED = "moderated"
    FAILED = "failed"
    BROKEN = "broken"


class Refused(Exception):
    """The request is answered no. `problems` names the fields where it is about fields."""

    def __init__(self, why: Why, message: str, problems: list[FieldProblem] | None = None) -> None:
        self.why = why
        self.message = message
        self.problems = problems or []
        super().__init__(message)
