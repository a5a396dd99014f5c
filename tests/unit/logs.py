"""Logging set up for one test, and afterwards as it was before."""

import io
import logging
from collections.abc import Iterator

import pytest

from relay.observe.log import set_up_logging


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    make_record, source = logging.getLogRecordFactory(), logging._srcfile  # noqa: SLF001 -- see set_up_logging
    names = ("relay", "uvicorn", "uvicorn.error", "uvicorn.access")
    levels = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in names}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(make_record)
    logging._srcfile = source  # noqa: SLF001 -- as above
    for name, (its_level, propagates) in levels.items():
        logging.getLogger(name).setLevel(its_level)
        logging.getLogger(name).propagate = propagates
    logging.captureWarnings(capture=False)


def logged(style: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    set_up_logging(style=style, level=level, stream=stream)
    return stream
