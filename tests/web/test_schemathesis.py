"""Does a running relay keep what its OpenAPI document promises? schemathesis asks: thousands of requests made from the document, the
right ones and the wrong ones, all its checks on. What it leaves out, and why, stands in schemathesis.toml.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import anyio
import pytest

from relay.web.operations import OPERATIONS
from tests.e2e.harness import ADMIN_KEY
from tests.web.conftest import Running

pytestmark = pytest.mark.anyio

CONFIG = Path(__file__).with_name("schemathesis.toml")
TOOL = Path(sys.executable).with_name("schemathesis")
OUT_OF_REACH = {"streamEvents", "showDocument", "takeCallback", "showImage", "revokeKey"}
"""Not asked (it leaves out the document itself), or only with tokens and ids that schemathesis cannot know; each has its own tests.
By chance it may find one of those ids."""
REFUSALS = {400, 401, 403, 404, 415, 422}


async def test_the_document_is_kept(running: Running, tmp_path: Path) -> None:
    report = tmp_path / "report.har"

    run = await anyio.run_process(
        [TOOL, "--config-file", CONFIG, "--no-color", "run", f"{running.url}/openapi.json", "--report-har-path", report,
         "--header", f"Authorization: Bearer {ADMIN_KEY}"],
        cwd=tmp_path, check=False)

    assert run.returncode == 0, run.stdout.decode() + run.stderr.decode()
    reached = statuses_by_operation(report)
    assert {operation.id for operation in OPERATIONS if not reached[operation.id] - REFUSALS} <= OUT_OF_REACH


def statuses_by_operation(report: Path) -> Mapping[str, set[int]]:
    """What each operation answered with; a run that reaches nothing proves nothing."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    patterns = sorted(((operation, re.compile(re.sub(r"\{\w+\}", "[^/]+", operation.path))) for operation in OPERATIONS),
                      key=lambda pair: "{" in pair[0].path)
    for entry in json.loads(report.read_text())["log"]["entries"]:
        method, path = entry["request"]["method"], unquote(urlsplit(entry["request"]["url"]).path)
        name = next((operation.id for operation, pattern in patterns if operation.method == method and pattern.fullmatch(path)), None)
        if name:
            found[name].add(entry["response"]["status"])
    return found
