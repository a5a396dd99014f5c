"""Makes `.venv` ready to run this checkout: the one step that `deploy/demo` and `tests/check` share.

    python3 deploy/bootstrap.py [GROUP ...]     GROUP: a name under [dependency-groups] in pyproject.toml

Standard library only, because it runs where nothing else is installed yet; and in words that Python 3.6 can read as far
as the line that turns it away.

How pip gets into the environment: through `ensurepip` where Python has it. Debian takes ensurepip out of `python3` and
leaves `venv --without-pip`; there apt-get downloads the package that holds pip's wheel. That needs no root and installs
nothing on the system, Debian's signature says that the wheel is genuine, and no address has to be written down here:
apt and then pip reach the network as the machine is set up to (sources.list, pip.conf, PIP_INDEX_URL, proxies,
certificates).

How a later run knows that it has nothing to do: `.venv/relay-setup.json`, written last, says for which place,
dependencies and groups the environment was made. It is voided before anything changes, so that a run that was cut short
is begun anew. One run at a time: a lock on the checkout's folder, which the kernel drops when its holder and the pip
that it started have ended.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python is what this line is for
    sys.exit("relay: Python 3.11 or newer is needed; this python3 is " + sys.version.split()[0])

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
STAMP = "relay-setup.json"
NO_CERTIFICATES = "no CA certificates on this machine; install them: apt-get install -y ca-certificates"
CERTIFICATE_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
CERTIFICATE_SIGNS = ("CERTIFICATE_VERIFY_FAILED", "confirming the ssl certificate", "TLS CA certificate bundle")
NETWORK_SIGNS = ("NewConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyError", "Temporary failure",
                 "Could not resolve", "Could not connect", "Failed to fetch", "Unable to locate package")


class SetupError(Exception):
    """What the person must know or do; printed as one line."""


class Stamp(NamedTuple):
    """What an environment was made for; an empty `place` means that it is unfinished."""

    place: str
    needs: str
    groups: tuple[str, ...]

    def serves(self, wanted: "Stamp") -> bool:
        """Whether an environment with this stamp has all that is wanted."""
        return self[:2] == wanted[:2] and set(wanted.groups) <= set(self.groups)


UNFINISHED = Stamp("", "", ())


def prepare(root: Path, groups: Iterable[str]) -> None:
    """Make `root/.venv` able to run `relay`, with the dependencies of `groups`; SetupError where that cannot be."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = stamp_for(root, project, groups)
    environment = root / ".venv"
    if is_ready(environment, wanted):
        return
    with lock(root):
        if not is_ready(environment, wanted):  # another run may have made it while this one waited
            build(environment, root, project, wanted)


def stamp_for(root: Path, project: Mapping[str, Any], groups: Iterable[str]) -> Stamp:
    """The stamp to ask for: scripts and links in an environment hold its path and Python, so both are its place."""
    known = project.get("dependency-groups", {})
    unknown = sorted(set(groups) - known.keys())
    if unknown:
        raise SetupError(f"pyproject.toml has no dependency group {', '.join(unknown)}")
    parts = [project.get("build-system"), project.get("project"), known, project.get("tool", {}).get("hatch")]
    needs = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return Stamp(f"{python_folder()} {root}", needs, tuple(sorted(groups)))


def is_ready(environment: Path, wanted: Stamp) -> bool:
    """Whether nothing needs doing; the programs are looked for because Python may have been removed under its link."""
    stamp = read_stamp(environment)
    programs = (environment / "bin" / "python", environment / "bin" / "relay")
    return stamp is not None and stamp.serves(wanted) and all(program.exists() for program in programs)


def read_stamp(environment: Path) -> Stamp | None:
    """The environment's stamp; None if it has none, unfinished if it cannot be read."""
    try:
        fields = json.loads((environment / STAMP).read_bytes())
        return Stamp(fields["place"], fields["needs"], tuple(fields["groups"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return UNFINISHED


def write_stamp(environment: Path, stamp: Stamp) -> None:
    """Replace the stamp in one step."""
    draft = environment / f"{STAMP}.new"
    draft.write_text(json.dumps(stamp._asdict()), encoding="utf-8")
    draft.replace(environment / STAMP)


def can_be_renewed(environment: Path, wanted: Stamp) -> bool:
    """Whether pip may go on from what is there: made whole by an earlier run, or by hand for this Python."""
    stamp = read_stamp(environment)
    if stamp is not None and stamp.place != wanted.place:
        return False
    return (environment / "bin" / "python").exists() and (environment / "lib" / python_folder()).is_dir()


def build(environment: Path, root: Path, project: Mapping[str, Any], wanted: Stamp) -> None:
    """Bring the environment to what is wanted, from what is there or from nothing; the stamp comes last."""
    say("setting up .venv; the first time takes about a minute")
    known = project.get("dependency-groups", {})
    groups = set(wanted.groups)
    if can_be_renewed(environment, wanted):
        groups |= known.keys() & (read_stamp(environment) or UNFINISHED).groups
    else:
        venv.create(environment, clear=True, symlinks=True)
    write_stamp(environment, UNFINISHED)
    python = environment / "bin" / "python"
    if not (environment / "lib" / python_folder() / "site-packages" / "pip").is_dir():
        add_pip(python)
    requirements = [line for group in groups for line in known[group]]
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install")
    run(*pip, "--editable", root, *requirements, purpose="install the Python packages")
    write_stamp(environment, wanted._replace(groups=tuple(sorted(groups))))


def add_pip(python: Path) -> None:
    """Install pip into the environment whose interpreter is `python`."""
    if importlib.util.find_spec("ensurepip"):
        run(python, "-m", "ensurepip", purpose="set up pip")
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupError("this python3 comes without ensurepip: install your system's package for python3 venv or pip")
    if not has_certificates(os.environ):  # the system's are the only ones that Debian's pip looks at
        raise SetupError(NO_CERTIFICATES)
    with tempfile.TemporaryDirectory(prefix="relay-pip-") as folder:
        wheel = debian_pip(Path(folder))
        run(python, wheel / "pip", "install", "--no-index", wheel, purpose="set up pip")


def debian_pip(folder: Path) -> Path:
    """Download the wheel of pip that Debian packages for its own ensurepip; nothing outside `folder` changes."""
    own = [f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}/cache", "Acquire::Languages=none",
           "APT::Sandbox::User=root"]  # root would else become _apt, who may not write to the folder
    apt = ["apt-get", "--quiet", *(part for option in own for part in ("--option", option))]
    for name in ("lists", "cache"):
        (folder / name).mkdir()
    run(*apt, "update", cwd=folder, purpose="read apt's package lists")
    run(*apt, "download", "python3-pip-whl", cwd=folder, purpose="fetch pip with apt-get")
    package = next(folder.glob("python3-pip-whl_*.deb"))
    run("dpkg-deb", "--extract", package, folder, purpose="unpack pip")
    return next((folder / "usr" / "share" / "python-wheels").glob("pip-*.whl"))


def run(*command: str | Path, purpose: str, cwd: Path | None = None) -> None:
    """Run a program with its output held back; SetupError says in one line what its failure means."""
    result = subprocess.run(
        command, cwd=cwd, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},  # the output is searched for English
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        close_fds=False,  # the program holds the lock too, should this one be killed
    )
    if result.returncode:
        raise SetupError(f"could not {purpose}: {explain(result.stdout, has_certificates(os.environ))}")


def explain(output: str, certified: bool) -> str:  # noqa: FBT001 - one of two plain facts
    """What a failed program's output comes to: the network, the certificates, or its own first error."""
    if any(sign in output for sign in CERTIFICATE_SIGNS):
        unknown = "the server's certificate is not trusted; if your network has its own authority, name it in PIP_CERT"
        return unknown if certified else NO_CERTIFICATES
    if any(sign in output for sign in NETWORK_SIGNS):
        return "the network does not reach it; check the connection, or the proxy in HTTPS_PROXY"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR:", "E:"))]
    return "\n  ".join(errors[:5] or lines[-1:]) or "it gave no reason"


def has_certificates(variables: Mapping[str, str]) -> bool:
    """Whether there are authorities to verify a server with: named by a variable, or where OpenSSL looks."""
    if any(variables.get(name) for name in CERTIFICATE_VARIABLES):
        return True
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.openssl_capath)
    return Path(paths.openssl_cafile).is_file() or (folder.is_dir() and any(folder.iterdir()))


@contextmanager
def lock(root: Path) -> Iterator[None]:
    """Hold the checkout against other runs of this file."""
    folder = os.open(root, os.O_RDONLY)
    os.set_inheritable(folder, True)  # noqa: FBT003 - the signature is the standard library's
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is setting up .venv; waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def python_folder() -> str:
    """The folder of an environment's `lib` that belongs to this Python."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def say(text: str) -> None:
    """Tell the person; standard output belongs to the program that comes after."""
    print(f"relay: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Prepare the environment; 1 with one line on standard error where that fails."""
    try:
        prepare(ROOT, sys.argv[1:])
    except (SetupError, OSError, ValueError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
