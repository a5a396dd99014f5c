"""Fields of an app's request that must be text before anything else looks at it."""

from collections.abc import Mapping, Sequence
from typing import Any

from relay.errors import FieldProblem, Invalid


def read_texts(body: Mapping[str, Any], names: Sequence[str], *, required: Sequence[str] = ()) -> dict[str, str | None]:
    """These fields of a body, in the app's own words; null is absent. Raises Invalid, naming all that are no text, or are missing though
    `required`."""
    missing = [FieldProblem(name, "is required") for name in required if body.get(name) is None]
    wrong = [FieldProblem(name, "must be a string") for name in names if not isinstance(body.get(name), str | None)]
    if missing or wrong:
        raise Invalid(errors=[*missing, *wrong])
    return {name: body.get(name) for name in names}
