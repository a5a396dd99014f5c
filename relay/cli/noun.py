"""Commands that are nouns: `relay tasks` lists them, `relay tasks ID` shows one, `relay tasks VERB …` does something."""

import click

_HELP = ("--help", "-h")


class Noun(click.Group):
    """A group whose `list` and `show` need not be said. `prefix`: how the ids of this noun begin."""

    prefix = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        unsaid = self._unsaid(args)
        return super().parse_args(ctx, [unsaid, *args] if unsaid else args)

    def _unsaid(self, args: list[str]) -> str | None:
        """None where a verb is said, or something that is to be complained of as an unknown verb."""
        first = args[0] if args else "-"
        if first in self.commands or first in _HELP or not first.startswith(("-", self.prefix)):
            return None
        names_one = "--cursor" not in args and any(arg.startswith(self.prefix) for arg in args)
        return "show" if names_one and "show" in self.commands else "list"


def noun(prefix: str) -> type[Noun]:
    """The group class for a noun whose ids begin so."""
    return type("Noun", (Noun,), {"prefix": prefix})
