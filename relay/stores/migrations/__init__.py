"""The tables, as numbered steps that only go forward: one folder of `.sql` files per database, with the same names in each.

Each file is one transaction of its own, BEGIN and COMMIT included, and its last statement before COMMIT records it in the
table `migrations`, so that a step that was interrupted is either done and recorded or neither. A step that was released
never changes; what follows is added behind it.
"""

from importlib.resources import files

from msgspec import Struct


class Migration(Struct, frozen=True):
    """One step: its number, its name (`0001_tables`) and its statements."""

    number: int
    name: str
    sql: str


def migrations(dialect: str) -> list[Migration]:
    """All steps for a database (`sqlite`), in order."""
    folder = files("relay.stores.migrations") / dialect
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(int(name[:4]), name.removesuffix(".sql"), (folder / name).read_text("utf-8")) for name in names]
