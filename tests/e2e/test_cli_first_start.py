"""What the first start makes, and that it makes it once."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from relay.cli.first_start import prepare_data_dir
from relay.errors import ConfigError
from relay.settings import load_settings

ADMIN_KEY = "rly_" + "k" * 32
SECRET_KEY = "s" * 32
PREPARE = """
import json, sys
from relay.cli.first_start import prepare_data_dir
from relay.settings import load_settings
sys.stdin.readline()
made = prepare_data_dir(load_settings({"RELAY_DATA_DIR": sys.argv[1]}))
print(json.dumps([made.settings.secret_keys, made.settings.admin_key, made.is_new]))
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_a_private_folder_and_private_keys(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "data"
    made = prepare_data_dir(load_settings({"RELAY_DATA_DIR": str(folder)}))
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {"secret-keys": 0o600, "admin-key": 0o600}
    assert (made.admin_key_file, made.is_new) == (folder / "admin-key", True)
    assert (folder / "admin-key").read_text().strip() == made.settings.admin_key
    load_settings({"RELAY_ADMIN_KEY": made.settings.admin_key, "RELAY_SECRET_KEYS": made.settings.secret_keys[0]})


def test_the_second_start_finds_the_same_keys(tmp_path: Path) -> None:
    settings = load_settings({"RELAY_DATA_DIR": str(tmp_path)})
    first, second = prepare_data_dir(settings), prepare_data_dir(settings)
    assert (second.settings.secret_keys, second.settings.admin_key) == (first.settings.secret_keys, first.settings.admin_key)
    assert not second.is_new


def test_keys_that_are_given_are_not_written_down(tmp_path: Path) -> None:
    given = {"RELAY_DATA_DIR": str(tmp_path), "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_SECRET_KEYS": SECRET_KEY}
    made = prepare_data_dir(load_settings(given))
    assert (made.settings.admin_key, made.settings.secret_keys, made.admin_key_file, made.is_new) == (ADMIN_KEY, (SECRET_KEY,), None, False)
    assert not list(tmp_path.iterdir())


def test_processes_on_one_postgresql_make_the_same_admin_key_from_their_secret_keys(tmp_path: Path) -> None:
    def start(folder: str, *secret_keys: str) -> tuple[str, bool]:
        settings = load_settings({"RELAY_DATA_DIR": str(tmp_path / folder), "RELAY_SECRET_KEYS": ",".join(secret_keys),
                                  "RELAY_DATABASE_URL": "postgresql://relay@db.example/relay"})
        made = prepare_data_dir(settings)
        assert made.admin_key_file is not None
        assert made.admin_key_file.read_text().strip() == made.settings.admin_key
        assert mode(made.admin_key_file) == 0o600
        return made.settings.admin_key, made.is_new

    key, is_new = start("one", SECRET_KEY)
    assert is_new
    assert start("one", SECRET_KEY) == (key, False)
    assert start("two", "n" * 32, SECRET_KEY) == (key, True)
    assert start("two", "n" * 32) != (key, False)
    load_settings({"RELAY_ADMIN_KEY": key})
    assert SECRET_KEY not in key


def test_starts_at_the_same_moment_agree_on_the_keys(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "data")]
    starts = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for start in starts:  # all are loaded and wait for a line before any gets one
        assert start.stdin
        start.stdin.write("\n")
        start.stdin.flush()
    made = [json.loads(start.communicate()[0]) for start in starts]
    assert len({(*keys, admin_key) for keys, admin_key, _ in made}) == 1
    assert sum(is_new for *_, is_new in made) == 1


def test_a_start_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "admin-key.new").write_text("rly_hal")
    made = prepare_data_dir(load_settings({"RELAY_DATA_DIR": str(tmp_path)}))
    assert (tmp_path / "admin-key").read_text().strip() == made.settings.admin_key
    assert not (tmp_path / "admin-key.new").exists()


@pytest.mark.parametrize(("name", "field"), [("secret-keys", "RELAY_SECRET_KEYS"), ("admin-key", "RELAY_ADMIN_KEY")])
def test_a_broken_key_file_is_named_and_not_shown(tmp_path: Path, name: str, field: str) -> None:
    (tmp_path / name).write_text("br0ken")
    with pytest.raises(ConfigError) as caught:
        prepare_data_dir(load_settings({"RELAY_DATA_DIR": str(tmp_path)}))
    [problem] = caught.value.problems
    assert problem.field == field
    assert str(tmp_path / name) in problem.message
    assert "br0ken" not in problem.message


def test_no_new_secret_keys_are_made_beside_a_database_that_was_made_with_others(tmp_path: Path) -> None:
    (tmp_path / "relay.db").write_bytes(b"SQLite format 3\0")
    with pytest.raises(ConfigError, match="made with keys that are not here"):
        prepare_data_dir(load_settings({"RELAY_DATA_DIR": str(tmp_path)}))
    assert not (tmp_path / "secret-keys").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"RELAY_DATA_DIR.*file"):
        prepare_data_dir(load_settings({"RELAY_DATA_DIR": str(tmp_path / "file" / "data")}))
