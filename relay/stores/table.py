"""The rows of a store as such, whatever they say: how they go from one kind of store to another."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct


class Table(Struct, frozen=True, kw_only=True):
    """What a table is called and holds."""

    name: str
    columns: tuple[str, ...]
    count: int


class Source(Protocol):
    """Where the rows stand. `tables`: each behind those that it refers to."""

    @property
    def tables(self) -> Sequence[Table]: ...

    def rows(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """All of them, a batch at a time."""
        ...


Tell = Callable[[Table, int], None]
"""So many more rows of the table have come through."""
