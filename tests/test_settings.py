"""Settings are strict, complete in their documentation, and keep secrets to themselves."""

from __future__ import annotations

import hashlib
import ipaddress
import pickle
import re
from pathlib import Path

import pytest

from gateway.settings import Settings, SettingsError, describe, read_admin_tokens

SECRET_URL = "postgresql+psycopg://gate:" + "hunter" + "2@db/gate"


def load(tmp_path, toml="", **environ):
    path = tmp_path / "borderpost.toml"
    path.write_text(toml)
    return Settings.load(path, environ)


def problems(tmp_path, toml="", **environ):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, toml, **environ)
    return caught.value.problems


def test_defaults_need_nothing():
    """No file and no variable: a node that serves on loopback with SQLite, durable paths absolute."""
    settings = Settings.load(None, {"PATH": "/bin"})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert settings.database == f"sqlite:///{settings.data_dir}/borderpost.db"
    assert settings.data_dir.is_absolute()
    assert settings.place == "ZZ"
    assert settings.trusted_proxies == ()


def test_file_and_variables(tmp_path):
    """Both are read, sections too; a variable wins; relative paths in the file start at the file."""
    settings = load(
        tmp_path,
        'listen = "[::]:9000"\nplace = "CA-QC"\npolicies = "rules"\ntrusted_proxies = ["10.0.0.0/8"]\n'
        '[limits]\nmax_body_bytes = 2048\n[detectors]\nmode = "presidio"\n[telemetry]\nsampling = 0.5\n',
        BORDERPOST_LIMITS_MAX_BODY_BYTES="4096",
        BORDERPOST_WORKERS="3",
        BORDERPOST_DEMO="true",
    )
    assert (settings.host, settings.port) == ("::", 9000)
    assert settings.policies == tmp_path / "rules"
    assert settings.limits.max_body_bytes == 4096
    assert settings.detectors.mode == "presidio"
    assert settings.telemetry.sampling == 0.5
    assert settings.workers == 3
    assert settings.demo
    assert settings.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"),)


def test_the_file_may_be_named_by_a_variable(tmp_path):
    """BORDERPOST_SETTINGS names the file when the command line does not."""
    (tmp_path / "s.toml").write_text("workers = 2\n")
    assert Settings.load(None, {"BORDERPOST_SETTINGS": str(tmp_path / "s.toml")}).workers == 2


def test_unknown_words_are_errors_with_the_nearest_right_word(tmp_path):
    """A misspelt limit is never silently no limit: file, line and suggestion are named, all at once."""
    found = problems(
        tmp_path,
        'lisen = "a:1"\n[limits]\nmax_body_byte = 1\n[detectr]\nx = 1\n',
        BORDERPOST_WORKER="2",
    )
    assert len(found) == 4
    assert re.search(r"borderpost\.toml:1: unknown setting `lisen`; did you mean `listen`\?", found[0])
    assert re.search(r"toml:3: .*`limits\.max_body_byte`; did you mean `limits\.max_body_bytes`\?", found[1])
    assert re.search(r"toml:4: .*`detectr`; did you mean `detectors`\?", found[2])
    assert found[3] == "unknown variable `BORDERPOST_WORKER`; did you mean `BORDERPOST_WORKERS`?"


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("workers = 0", "whole number from 1"),
        ("workers = true", "whole number"),
        ('workers = "2"', "whole number"),
        ('listen = "8080"', "host:port"),
        ('listen = "a:99999"', "host:port"),
        ('place = "canada"', "ISO 3166"),
        ('durability = "hots"', "did you mean `host`"),
        ("demo = 1", "`true` or `false`"),
        ('trusted_proxies = ["10.0.0.1/8"]', "host bits"),
        ('trusted_proxies = "all"', "list of networks"),
        ("[telemetry]\nsampling = 2", "from 0 to 1"),
        ("[telemetry]\nsampling = true", "from 0 to 1"),
        ('[telemetry]\notlp_endpoint = "ftp://a"', "http(s) URL"),
        ('[telemetry]\notlp_endpoint = "http://u:p@a"', "without user name"),
        ('[telemetry]\notlp_endpoint = "http://a"', "otlp_place"),
        ('tls_certificate = "a"', "go together"),
        ('database_url = "mysql://a"', "sqlite:///"),
        ("limits = 3", "unknown setting `limits`"),
        ("a = ", "not valid TOML"),
    ],
)
def test_wrong_values_say_what_is_right(tmp_path, toml, says):
    """Every wrong value is refused at start with what would be right."""
    assert says in "\n".join(problems(tmp_path, toml))


def test_the_value_of_a_wrong_variable_is_not_shown(tmp_path):
    """A secret put into the wrong variable does not reach the terminal or the log."""
    text = "\n".join(
        problems(tmp_path, BORDERPOST_WORKERS=SECRET_URL, BORDERPOST_DATABASE_URL="m" + SECRET_URL)
    )
    assert "hunter" not in text


def test_secrets_are_masked(tmp_path):
    """The database's password is not in the representation of the settings."""
    settings = load(tmp_path, BORDERPOST_DATABASE_URL=SECRET_URL)
    assert "hunter" not in repr(settings)
    assert settings.database == SECRET_URL


def test_switches_of_the_test_suite_are_left_alone():
    """A server that a test starts inherits these and does not stumble."""
    assert Settings.load(None, {"BORDERPOST_TEST_POSTGRES": "x", "BORDERPOST_REQUIRE_POSTGRES": "1"})


def test_settings_travel_to_workers(tmp_path):
    """Settings survive pickling unchanged, since spawned workers get them that way."""
    settings = load(tmp_path, BORDERPOST_TRUSTED_PROXIES="10.0.0.0/8, ::1/128")
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 (our own bytes)


def test_every_setting_is_described():
    """Each has a variable and a sentence, and the reference page names both it and its variable."""
    page = (Path(__file__).parents[1] / "docs/reference/settings.md").read_text("utf-8")
    described = describe()
    assert len({one.variable for one in described}) == len(described) > 25
    for one in described:
        assert one.doc.endswith("."), one.key
        assert f"`{one.key}`" in page, one.key
        assert f"`{one.variable}`" in page, one.key


def test_admin_tokens(tmp_path):
    """The file holds hashes and roles; comments are skipped."""
    digest = hashlib.sha256(b"token").hexdigest()
    path = tmp_path / "tokens"
    path.write_text(f"# the office\n\nadmin {digest} anna\nfinance {digest}\n")
    first, second = read_admin_tokens(path)
    assert (first.role, first.name, first.sha256) == ("admin", "anna", bytes.fromhex(digest))
    assert second.role == "finance"
    assert digest not in repr(first)
    assert read_admin_tokens(None) == ()


@pytest.mark.parametrize(
    "line", ["admin", "letmein", "root " + "0" * 64, "admin letmein", "admin " + "0" * 64 + " a b"]
)
def test_a_wrong_admin_token_line_is_refused_and_not_shown(tmp_path, line):
    """Someone who writes the token itself there does not find it in the error."""
    path = tmp_path / "tokens"
    path.write_text(line + "\n")
    with pytest.raises(SettingsError) as caught:
        read_admin_tokens(path)
    assert "letmein" not in str(caught.value)
    assert ":1:" in str(caught.value)
    assert "one of admin, finance, auditor" in str(caught.value)


def test_an_unreadable_admin_token_file_is_refused(tmp_path):
    """A missing file does not mean an open or a silently closed admin API."""
    with pytest.raises(SettingsError):
        read_admin_tokens(tmp_path / "none")
