"""The format of a subscription and its template, which belong together."""

from typing import Final, Literal

from relay.ports.formats import Json
from relay.web.fields import refuse
from relay.web.parts import Web

Format = Literal["standard", "cloudevents", "flat", "slack", "discord", "ifttt", "template", "provider"]

_FORMAT: Final = "template"


def checked_template(web: Web, form: str, template: Json) -> Json:
    """The template as it is to be kept. Raises Invalid."""
    if form != _FORMAT:
        if template is not None:
            raise refuse("template", f"goes with the format {_FORMAT!r} only")
        return None
    if template is None:
        raise refuse("template", f"is required by the format {_FORMAT!r}")
    try:
        return web.formats.read_template(template)
    except ValueError as exc:
        raise refuse("template", str(exc)) from exc
