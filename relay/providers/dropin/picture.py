"""An input picture, as apps of these providers send it."""

from typing import Any, Final

_BLANKS: Final = b" \t\r\n"


def as_data_uri(value: Any) -> Any:  # noqa: ANN401 -- what is no text is left for the checks to refuse
    """Base64 as a data URI, whatever picture it holds; line breaks, which some encoders make, are taken out. A URL, and a data URI,
    stay what they are: base64 has no colon."""
    if not isinstance(value, str) or ":" in value[:32] or not value.isascii():
        return value
    return "data:image/png;base64," + value.encode().translate(None, _BLANKS).decode()  # in one go: there may be 32 MiB of it
