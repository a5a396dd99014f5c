"""The demo: five events, verified, once each, with an image that opens; or an honest failure."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

DEMO = [sys.executable, "-m", "relay", "demo"]
PROVIDERS = ("serevix", "apiframe", "segmind", "kie", "yescale")


class Done(NamedTuple):
    """A demo that ended."""

    code: int
    out: str
    err: str
    folder: Path
    seconds: float


def environment(temporary: Path) -> dict[str, str]:
    """Without any RELAY_ name but one that would break a relay that read it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    return {**own, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(temporary), "RELAY_PORT": "not a port"}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [*DEMO, *arguments], cwd=folder, env=environment(folder / "tmp"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """Three demos by the fault in their prompt, side by side, since each mostly waits."""
    started = time.monotonic()
    running = {}
    for fault in ("", "sandbox:error", "sandbox:expired-image"):
        folder = tmp_path_factory.mktemp("demo")
        running[fault] = (folder, start(folder, "--prompt", f"a lighthouse {fault}"))
    done = {}
    for fault, (folder, process) in running.items():
        out, err = process.communicate(timeout=60)
        done[fault] = Done(process.returncode, out, err, folder, time.monotonic() - started)
    return done


def test_the_demo_brings_five_verified_events_with_images(demos: dict[str, Done]) -> None:
    done = demos[""]
    assert done.code == 0, done.out + done.err
    assert done.seconds < 30
    images = [path for path in (done.folder / "relay-demo").iterdir() if path.suffix != ".log"]
    assert {path.stem for path in images} == set(PROVIDERS)
    for path in images:
        with Image.open(path) as image:
            image.load()
        assert re.search(rf"{path.stem} +(callback|poll|response) +[\d.]+ +evt_\w+ +relay-demo/{path.name}", done.out)
    assert len(set(re.findall(r"evt_\w+", done.out))) == len(PROVIDERS)


@pytest.mark.parametrize("fault", ["", "sandbox:error"])
def test_the_demo_leaves_nothing_but_images_and_its_log(demos: dict[str, Done], fault: str) -> None:
    assert not list((demos[fault].folder / "tmp").iterdir())


def test_the_demo_says_what_was_wrong_and_fails(demos: dict[str, Done]) -> None:
    done = demos["sandbox:error"]
    assert done.code == 1
    assert all(f"relay demo: {provider}: task.failed" in done.err for provider in PROVIDERS)
    assert "relay.log" in done.err


def test_the_demo_fails_where_an_image_cannot_be_had(demos: dict[str, Done]) -> None:
    done = demos["sandbox:expired-image"]
    assert done.code == 1
    assert "image cannot be fetched" in done.err


def test_the_demo_can_be_kept_and_stopped(tmp_path: Path) -> None:
    with start(tmp_path, "--keep") as kept:
        assert kept.stdout
        said = ""
        while "Ctrl-C" not in said:
            line = kept.stdout.readline()
            assert line, said
            said += line
        url, key = re.findall(r"RELAY_URL=(\S+) RELAY_API_KEY=(\S+)", said)[0]
        tasks = subprocess.run([sys.executable, "-m", "relay", "tasks"], cwd=tmp_path, capture_output=True, text=True, check=False,
                               env={**environment(tmp_path / "tmp"), "RELAY_URL": url, "RELAY_API_KEY": key, "RELAY_PORT": "1"})
        assert tasks.stdout.count("succeeded") == len(PROVIDERS), tasks.stdout + tasks.stderr
        kept.send_signal(signal.SIGINT)
        assert kept.wait(timeout=20) == 0
    assert not list((tmp_path / "tmp").iterdir())
