"""Settings: where they come from, what they may be, and that no secret is ever shown."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from relay.errors import ConfigError
from relay.ports import Rate
from relay.settings import MASK, SETTINGS, Settings, load_settings, settings_table, show_settings
from relay.settings.catalog import BY_NAME, PROVIDER_NAMES

ADMIN_KEY = "rly_" + "k" * 32
SECRET_KEY = "s" * 32
README = Path(__file__).parents[2] / "README.md"


def problems(**environ: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    return {problem.field: problem.message for problem in caught.value.problems}


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_without_anything_given_the_documented_defaults_hold() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.public_url) == ("127.0.0.1", 8080, None)
    assert (settings.data_dir, settings.database_path) == (Path("relay-data"), Path("relay-data/relay.db"))
    assert (settings.secret_keys, settings.admin_key, settings.allow_cidrs, settings.allow_http) == ((), "", (), False)
    assert (settings.reconcile_after, settings.retention, settings.image_link_ttl) == (60, 30 * 86400, 7 * 86400)
    assert list(settings.retry_schedule) == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert (settings.delivery_timeout, settings.shutdown_grace, settings.log, settings.log_level) == (20, 20, None, "info")
    assert set(settings.providers) == {"serevix", "apiframe", "segmind", "kie", "yescale"}
    assert settings.providers["kie"].deadline == 1800
    assert settings.providers["kie"].timeout is None
    assert settings.providers["kie"].confirm is False


def test_each_provider_has_settings_of_its_own() -> None:
    providers = load_settings({
        "RELAY_KIE_API_KEY": "abc", "RELAY_KIE_BASE_URL": "http://127.0.0.1:1/kie/", "RELAY_KIE_TIMEOUT": "5s",
    "RELAY_KIE_DEADLINE": "2m",
        "RELAY_KIE_MAX_CONCURRENT": "3", "RELAY_KIE_RATE": "20/10s", "RELAY_KIE_WEBHOOK_HMAC_KEY": "h", "RELAY_KIE_CONFIRM": "yes",
    }).providers
    kie = providers["kie"]
    assert (kie.api_key, kie.base_url, kie.timeout, kie.deadline) == ("abc", "http://127.0.0.1:1/kie", 5, 120)
    assert (kie.max_concurrent, kie.rate, kie.webhook_hmac_key, kie.confirm) == (3, Rate(20, 10), "h", True)
    assert providers["apiframe"].api_key is None


@pytest.mark.parametrize(("name", "text", "attribute", "value"), [
    ("RELAY_SHUTDOWN_GRACE", "0s", "shutdown_grace", 0),
    ("RELAY_SHUTDOWN_GRACE", "500ms", "shutdown_grace", 0.5),
    ("RELAY_SHUTDOWN_GRACE", "1.5s", "shutdown_grace", 1.5),
    ("RELAY_RETENTION", "2h", "retention", 7200),
    ("RELAY_RETRY_SCHEDULE", "0s, 1m", "retry_schedule", (0, 60)),
    ("RELAY_ALLOW_HTTP", "1", "allow_http", True),
    ("RELAY_ALLOW_HTTP", "TRUE", "allow_http", True),
    ("RELAY_ALLOW_HTTP", "no", "allow_http", False),
    ("RELAY_ALLOW_CIDRS", "10.0.0.0/8, ::1/128", "allow_cidrs", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
    ("RELAY_PUBLIC_URL", "https://relay.example.com/base/", "public_url", "https://relay.example.com/base"),
    ("RELAY_DATABASE_URL", "sqlite:///data/x.db", "database_path", Path("data/x.db")),
    ("RELAY_DATABASE_URL", "sqlite:////var/x.db", "database_path", Path("/var/x.db")),
    ("RELAY_SECRET_KEYS", f"{'n' * 32},{SECRET_KEY}", "secret_keys", ("n" * 32, SECRET_KEY)),
    ("RELAY_ADMIN_KEY", ADMIN_KEY, "admin_key", ADMIN_KEY),
    ("RELAY_LOG", "JSON", "log", "json"),
    ("RELAY_PORT", "0", "port", 0),
    ("RELAY_HOST", "", "host", "127.0.0.1"),
    ("RELAY_HOST", "  ", "host", "127.0.0.1"),
])
def test_a_value_is_read(name: str, text: str, attribute: str, value: object) -> None:
    assert getattr(load_settings({name: text}), attribute) == value


@pytest.mark.parametrize(("name", "text"), [
    ("RELAY_PORT", "65536"), ("RELAY_PORT", "-1"), ("RELAY_PORT", "٣"), ("RELAY_PORT", "1" * 5000),
    ("RELAY_RETENTION", "30"), ("RELAY_RETENTION", "0d"), ("RELAY_RETENTION", "-1d"), ("RELAY_RETENTION", "99999d"),
    ("RELAY_RETENTION", "1e3s"),
    ("RELAY_RETRY_SCHEDULE", "0s,,5s"), ("RELAY_ALLOW_HTTP", "maybe"), ("RELAY_ALLOW_CIDRS", "10.0.0.1/8"), ("RELAY_ALLOW_CIDRS", "here"),
    ("RELAY_PUBLIC_URL", "relay.example.com"), ("RELAY_PUBLIC_URL", "ftp://relay.example.com"), ("RELAY_PUBLIC_URL", "https://"),
    ("RELAY_PUBLIC_URL", "https://a.example/?x=1"), ("RELAY_PUBLIC_URL", "https://u:p@a.example"), ("RELAY_PUBLIC_URL",
    "https://a:99999"),
    ("RELAY_PUBLIC_URL", "https://a.example/#f"), ("RELAY_PUBLIC_URL", "https://[::1"), ("RELAY_PUBLIC_URL", "https://a b"),
    ("RELAY_PUBLIC_URL", "https://ü.example"),
    ("RELAY_KIE_RATE", "20"), ("RELAY_KIE_RATE", "0/10s"), ("RELAY_KIE_RATE", "20/0s"), ("RELAY_KIE_MAX_CONCURRENT", "0"),
    ("RELAY_DATABASE_URL", "sqlite://x.db"), ("RELAY_DATABASE_URL", "sqlite:///"), ("RELAY_DATABASE_URL", "mysql://x"),
    ("RELAY_SECRET_KEYS", "short"), ("RELAY_SECRET_KEYS", f"{SECRET_KEY},short"),
    ("RELAY_ADMIN_KEY", "rly_short"), ("RELAY_ADMIN_KEY", "k" * 40), ("RELAY_ADMIN_KEY", f"{ADMIN_KEY}!"),
    ("RELAY_ADMIN_KEY", "rly_" + "k" * 129),
    ("RELAY_DROPIN_HOSTS", "a.example"), ("RELAY_DROPIN_HOSTS", "a.example=nobody"), ("RELAY_DROPIN_HOSTS", "a.example:80=kie"),
    ("RELAY_DROPIN_HOSTS", "a.example=kie,a.example=serevix"), ("RELAY_DROPIN_HOSTS", "=kie"), ("RELAY_DROPIN_HOSTS", "-a.example=kie"),
    ("RELAY_DROPIN_KIE_VIA", "nobody"), ("RELAY_DROPIN_SEGMIND_HOLD", "0s"),
    ("RELAY_KIE_API_KEY", "with space"), ("RELAY_LOG", "xml"), ("RELAY_LOG_LEVEL", "loud"),
])
def test_a_wrong_value_is_refused_and_named(name: str, text: str) -> None:
    assert list(problems(**{name: text})) == [name]


def test_everything_that_is_wrong_is_reported_together() -> None:
    found = problems(RELAY_PORT="x", RELAY_RETENTION="soon", RELAY_PROT="1", RELAY_ADMIN_KEY="rly_")
    assert set(found) == {"RELAY_PORT", "RELAY_RETENTION", "RELAY_PROT", "RELAY_ADMIN_KEY"}
    assert "'x'" in found["RELAY_PORT"]


def test_a_name_that_nobody_reads_is_reported_with_what_may_be_meant() -> None:
    assert problems(RELAY_PUBLICURL="https://a.example")["RELAY_PUBLICURL"] == "there is no such setting; did you mean RELAY_PUBLIC_URL?"
    assert problems(RELAY_XYZZY="1")["RELAY_XYZZY"] == "there is no such setting"


def test_names_of_the_client_commands_and_of_other_programs_are_left_alone() -> None:
    load_settings({"RELAY_URL": "http://x", "RELAY_API_KEY": "k", "PATH": "/bin", "XRELAY_PORT": "x"})


@pytest.mark.parametrize("url", [
    "postgresql://relay:hunter2@db.example:6432/relay", "postgresql://relay@a.example,b.example:5433/relay?target_session_attrs=primary",
    "postgres://relay:h%40unter2@[fd00::1]/relay", "postgresql:///relay?host=/run/postgresql",
])
def test_a_postgresql_database_is_named_by_its_url(url: str) -> None:
    settings = load_settings({"RELAY_DATABASE_URL": url, "RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_SECRET_KEYS": SECRET_KEY})
    assert settings.database_url == url
    assert load_settings({}).database_url is None


@pytest.mark.parametrize("url", [
    "postgresql://u:hunter2@db", "postgresql://u:hunter2@db/", "postgresql://u:hunter2@db:99999/relay", "postgresql:hunter2",
    "postgresql://u:hunt/er2@db/relay", "postgresql://u:hunter2#@db/relay", "postgresql://u:p@hunter2@:x/relay", "postgresql://[::1/hunter2",
])
def test_a_wrong_postgresql_url_is_refused_without_showing_the_password(url: str) -> None:
    message = problems(RELAY_DATABASE_URL=url)["RELAY_DATABASE_URL"]
    assert "postgresql://user:password@host:5432/database" in message
    assert "hunter2" not in message
    assert "er2" not in message


def test_processes_on_one_postgresql_must_be_given_the_same_secret_keys() -> None:
    found = problems(RELAY_DATABASE_URL="postgresql://u:hunter2@db/relay")
    assert set(found) == {"RELAY_SECRET_KEYS"}
    assert "must be given with PostgreSQL" in found["RELAY_SECRET_KEYS"]


def test_the_variable_of_a_kubernetes_service_is_recognised() -> None:
    assert "enableServiceLinks" in problems(RELAY_PORT="tcp://10.0.0.1:8080")["RELAY_PORT"]


def test_a_secret_can_stand_in_a_file(tmp_path: Path) -> None:
    settings = load_settings({
        "RELAY_KIE_API_KEY_FILE": write(tmp_path / "kie", "from-file\n"), "RELAY_ADMIN_KEY_FILE": write(tmp_path / "admin", ADMIN_KEY),
        "RELAY_SECRET_KEYS_FILE": write(tmp_path / "keys", SECRET_KEY), "RELAY_KIE_WEBHOOK_HMAC_KEY_FILE": write(tmp_path / "hmac", "h"),
        "RELAY_DATABASE_URL_FILE": write(tmp_path / "database", "sqlite:////x.db"),
    })
    kie = settings.providers["kie"]
    assert (kie.api_key, kie.webhook_hmac_key) == ("from-file", "h")
    assert (settings.admin_key, settings.secret_keys, settings.database_path) == (ADMIN_KEY, (SECRET_KEY,), Path("/x.db"))


def test_the_variable_itself_wins_over_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "kie", "from-file")
    assert load_settings({"RELAY_KIE_API_KEY": "given", "RELAY_KIE_API_KEY_FILE": path}).providers["kie"].api_key == "given"


def test_only_secrets_can_stand_in_files(tmp_path: Path) -> None:
    assert "RELAY_PORT_FILE" in problems(RELAY_PORT_FILE=write(tmp_path / "port", "1"))


def test_a_secret_file_that_is_absent_empty_or_not_text_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    found = problems(RELAY_ADMIN_KEY_FILE=str(tmp_path / "absent"), RELAY_SECRET_KEYS_FILE=write(tmp_path / "empty", " \n"),
                     RELAY_KIE_API_KEY_FILE=str(binary))
    assert "No such file" in found["RELAY_ADMIN_KEY_FILE"]
    assert "is empty" in found["RELAY_SECRET_KEYS_FILE"]
    assert "UTF-8" in found["RELAY_KIE_API_KEY_FILE"]


def test_a_toml_file_holds_the_same_names_in_lower_case(tmp_path: Path) -> None:
    config = write(tmp_path / "relay.toml", """
        port = 9000
        allow_http = true
        allow_cidrs = ["10.0.0.0/8", "192.168.0.0/16"]
        retry_schedule = ["0s", "5s"]
        kie_api_key = "from-toml"
    """)
    settings = load_settings({"RELAY_CONFIG": config})
    assert (settings.port, settings.allow_http, settings.retry_schedule) == (9000, True, (0, 5))
    assert settings.allow_cidrs == (ip_network("10.0.0.0/8"), ip_network("192.168.0.0/16"))
    assert settings.providers["kie"].api_key == "from-toml"


def test_the_environment_wins_over_the_toml_file(tmp_path: Path) -> None:
    config = write(tmp_path / "relay.toml", "port = 9000")
    assert load_settings({"RELAY_CONFIG": config, "RELAY_PORT": "9001"}).port == 9001


def test_a_toml_file_may_name_the_file_of_a_secret(tmp_path: Path) -> None:
    config = write(tmp_path / "relay.toml", f'kie_api_key_file = "{write(tmp_path / "kie", "from-file")}"')
    assert load_settings({"RELAY_CONFIG": config}).providers["kie"].api_key == "from-file"


@pytest.mark.parametrize(("text", "field"), [
    ("prot = 1", "prot"), ("PORT = 1", "PORT"), ("RELAY_PORT = 1", "RELAY_PORT"),
    ("url = 'x'", "url"), ("config = 'x'", "config"), ("[kie]\napi_key = 'x'", "kie"),
    ("port = 2026-01-01", "port"), ("port = {a = 1}", "port"), ("port = ", "RELAY_CONFIG"), ("retention = '3'", "RELAY_RETENTION"),
], ids=["unknown", "upper case", "with prefix", "of the client", "itself", "table", "date", "inline table", "not TOML", "wrong value"])
def test_what_is_wrong_in_a_toml_file_is_named(tmp_path: Path, text: str, field: str) -> None:
    config = write(tmp_path / "relay.toml", text)
    found = problems(RELAY_CONFIG=config)
    assert list(found) == [field]
    assert config in found[field]


def test_a_toml_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "No such file" in problems(RELAY_CONFIG=str(tmp_path / "absent.toml"))["RELAY_CONFIG"]


def secret_settings() -> dict[str, str]:
    values = {"RELAY_ADMIN_KEY": ADMIN_KEY, "RELAY_SECRET_KEYS": SECRET_KEY, "RELAY_DATABASE_URL": "postgresql://u:secret-word@db/relay"}
    return {setting.name: values.get(setting.name, "hidden-" + setting.name.lower()) for setting in SETTINGS if setting.secret}


def test_no_secret_is_in_any_rendering_of_the_settings() -> None:
    environ = secret_settings()
    settings = load_settings(environ)
    shown = " ".join((repr(settings), str(settings), f"{settings}", repr(show_settings(environ))))
    assert not [name for name, value in environ.items() if value in shown]


def test_no_secret_is_in_an_error() -> None:
    found = problems(**{setting.name: "sec ret\x7f" for setting in SETTINGS if setting.secret})
    assert set(found) == {setting.name for setting in SETTINGS if setting.secret}
    assert "sec ret" not in str(found)


@pytest.mark.parametrize("url", ["https://user:hunter2@a.example", "https://user:hun/hunter2@a.example", "https://a.example/?key=hunter2"])
def test_a_password_in_a_wrong_url_is_not_shown(url: str) -> None:
    found = problems(RELAY_KIE_BASE_URL=url)
    assert "********" in found["RELAY_KIE_BASE_URL"]
    assert "hunter2" not in found["RELAY_KIE_BASE_URL"]


def test_settings_in_force_are_shown_with_their_source(tmp_path: Path) -> None:
    config = write(tmp_path / "relay.toml", "retention = '1d'")
    key_file = write(tmp_path / "kie", "abc")
    shown = {row.name: row for row in show_settings({"RELAY_CONFIG": config, "RELAY_PORT": "1", "RELAY_KIE_API_KEY_FILE": key_file})}
    assert list(shown) == [setting.name for setting in SETTINGS]
    assert shown["RELAY_PORT"][1:] == ("1", "environment")
    assert shown["RELAY_RETENTION"][1:] == ("1d", config)
    assert shown["RELAY_KIE_API_KEY"][1:] == (MASK, key_file)
    assert shown["RELAY_HOST"][1:] == ("127.0.0.1", "default")
    assert shown["RELAY_PUBLIC_URL"][1:] == ("none", "default")


def test_every_default_is_a_value_that_would_be_accepted() -> None:
    for setting in SETTINGS:
        if setting.default:
            setting.read(setting.default)


def test_every_setting_ends_up_somewhere() -> None:
    fields = set(Settings.__struct_fields__) - {"database_path", "providers", "dropin_via", "dropin_holds"} | {"database_url"}
    own = {name.removeprefix("RELAY_").lower() for name in BY_NAME
           if not name.removeprefix("RELAY_").removeprefix("DROPIN_").lower().startswith(PROVIDER_NAMES)}
    assert own == fields


def test_each_drop_in_has_settings_of_its_own() -> None:
    settings = load_settings({
        "RELAY_DROPIN_HOSTS": "BFL.example.com=serevix, localhost=kie", "RELAY_DROPIN_YESCALE_VIA": "Kie",
        "RELAY_DROPIN_YESCALE_HOLD": "2m",
    })
    assert settings.dropin_hosts == {"bfl.example.com": "serevix", "localhost": "kie"}
    assert settings.dropin_via == {"yescale": "kie"}
    assert settings.dropin_holds == {"segmind": 25, "yescale": 120}
    assert (load_settings({}).dropin_hosts, load_settings({}).dropin_via) == ({}, {})


@pytest.mark.parametrize(("host", "port", "url"), [
    ("127.0.0.1", 1, "http://127.0.0.1:1"), ("0.0.0.0", 2, "http://127.0.0.1:2"),  # noqa: S104 -- compared, not bound
    ("::", 3, "http://[::1]:3"), ("relay.internal", 4, "http://relay.internal:4"),
])
def test_without_a_public_url_links_lead_to_where_it_listens(host: str, port: int, url: str) -> None:
    assert load_settings({"RELAY_HOST": host, "RELAY_PORT": str(port)}).own_url == url


def test_links_lead_to_the_public_url() -> None:
    assert load_settings({"RELAY_PUBLIC_URL": "https://a.example"}).own_url == "https://a.example"


def test_the_readme_names_every_setting_with_its_default() -> None:
    assert settings_table() in README.read_text(encoding="utf-8")


def test_the_table_stands_for_every_setting() -> None:
    table = settings_table()
    for setting in SETTINGS:
        provider = next((name for name in PROVIDER_NAMES if f"_{name.upper()}_" in setting.name), "")
        generic = setting.name.replace(provider.upper(), "NAME") if provider else setting.name
        assert f"`{setting.name}`" in table or f"`{generic}`" in table
