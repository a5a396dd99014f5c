"""`python -m tests.bench.counted FILE serve …`: Relay, with every SQL statement counted that it runs; FILE holds the counts at its end.

A statement that is run for many rows counts for each of them; what triggers do inside of it does not count. (SQLite's own trace tells of
those as if they were the statement once more.)
"""

import atexit
import functools
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from relay.cli import main

_counts: Counter[str] = Counter()


class _Cursor(sqlite3.Cursor):
    def execute(self, statement: str, *parameters: Any) -> Self:
        _counts[kind_of(statement)] += 1
        super().execute(statement, *parameters)
        return self

    def executemany(self, statement: str, rows: Iterable[Any]) -> Self:
        each = list(rows)
        _counts[kind_of(statement)] += len(each)
        super().executemany(statement, each)
        return self


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def execute(self, statement: str, *parameters: Any) -> Any:
        return self.cursor().execute(statement, *parameters)

    def executemany(self, statement: str, rows: Iterable[Any]) -> Any:
        return self.cursor().executemany(statement, rows)


def kind_of(statement: str) -> str:
    """Its beginning, up to where its values are."""
    words = re.split(r"\b(?:VALUES|SET|WHERE|ON|LIMIT)\b|\(|json_each", statement, maxsplit=1)[0].split()
    return " ".join(words)[:80]


if __name__ == "__main__":
    counts = Path(sys.argv.pop(1))
    atexit.register(lambda: counts.write_bytes(msgspec.json.encode(_counts)))
    vars(sqlite3)["connect"] = functools.partial(sqlite3.connect, factory=_Connection)
    main()
