"""`borderpost doctor` finds each fault, says the fix, and shows no secret."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import doctor, main
from gateway.settings import Detectors, Settings
from tests.api.test_server import self_signed

POLICIES = Path(__file__).parents[2] / "policies"


@pytest.fixture
def settings(tmp_path):
    return Settings(listen="127.0.0.1:0", data_dir=tmp_path / "data", policies=POLICIES, place="CA-QC")


def levels(check, settings):
    return [(finding.name, finding.level) for finding in check(settings)]


def only(check, settings):
    (finding,) = check(settings)
    return finding


def test_a_good_machine_is_exit_0_and_left_as_it_was(tmp_path):
    """Everything fine: exit 0, a line each, and no folder was made."""
    environ = {
        "BORDERPOST_DATA_DIR": str(tmp_path / "data"), "BORDERPOST_POLICIES": str(POLICIES),
        "BORDERPOST_LISTEN": "127.0.0.1:0", "BORDERPOST_PLACE": "CA-QC",
        "BORDERPOST_DETECTORS_MODE": "presidio",
    }  # fmt: skip
    result = CliRunner().invoke(main, ["doctor"], env=environ)
    assert result.exit_code == 0, result.output
    assert "ok    policies: " in result.output
    assert not (tmp_path / "data").exists()


def test_a_fault_is_exit_1_with_its_fix(tmp_path):
    """One fault is enough, and the fix is below it."""
    environ = {"BORDERPOST_DATA_DIR": str(tmp_path), "BORDERPOST_POLICIES": str(tmp_path / "none")}
    result = CliRunner().invoke(main, ["doctor"], env=environ)
    assert result.exit_code == 1
    assert "FAIL  policies" in result.output
    assert "→ " in result.output
    assert "1 to fix" in result.output


def test_wrong_settings_are_exit_2():
    """Settings that cannot be read leave nothing to check."""
    assert CliRunner().invoke(main, ["doctor"], env={"BORDERPOST_WORKERS": "none"}).exit_code == 2


def test_an_undeclared_place_is_a_warning(settings):
    """It serves, but no `log_in` rule can be met."""
    assert only(doctor.check_place, replace(settings, place="ZZ")).level == "warning"
    assert only(doctor.check_place, settings).level == "ok"


def test_a_clock_behind_the_journal_is_a_fault(settings):
    """A clock that was set back would open old budget windows again."""
    journal = settings.data_dir / "journal" / "CA-QC"
    journal.mkdir(parents=True)
    assert only(doctor.check_clock, settings).level == "ok"
    entry = journal / "00000001.jsonl"
    entry.write_text("{}")
    os.utime(entry, (time.time() + 7200, time.time() + 7200))
    assert only(doctor.check_clock, settings).level == "fault"


def test_a_data_folder_that_cannot_be_written_is_a_fault(settings, tmp_path):
    """A file where the folder should be stands for every reason that writing fails."""
    (tmp_path / "data").write_text("")
    assert only(doctor.check_data, settings).level == "fault"


def test_the_database_is_judged_by_its_version(settings):
    """None yet is fine; a version from the future is a fault; a server that is away is a fault."""
    assert only(doctor.check_database, settings).level == "ok"
    settings.data_dir.mkdir()
    with sqlite3.connect(settings.data_dir / "borderpost.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.close()
    assert only(doctor.check_database, settings).level == "fault"
    away = replace(settings, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")
    finding = only(doctor.check_database, away)
    assert finding.level == "fault"
    assert "nobody" not in finding.text


def test_policies_secrets_and_detectors(settings):
    """The starter bundle is fine; detectors that are off, or cannot find names, are a fault."""
    assert levels(doctor.check_policies, settings)[0] == ("policies", "ok")
    off = replace(settings, detectors=Detectors(mode="off"))
    assert ("detectors", "fault") in levels(doctor.check_policies, off)
    (inline,) = [found for found in doctor.check_policies(settings) if found.name == "detectors"]
    assert inline.level == "fault"
    assert "person" in inline.text
    presidio = replace(settings, detectors=Detectors(mode="presidio"))
    assert ("detectors", "ok") in levels(doctor.check_policies, presidio)


def test_a_broken_bundle_shows_file_and_line(settings, tmp_path):
    """The policy's own error is passed on."""
    for path in POLICIES.rglob("*.yaml"):
        copy = tmp_path / "policies" / path.relative_to(POLICIES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text("utf-8"), "utf-8")
    routes = tmp_path / "policies" / "routes.yaml"
    routes.write_text(routes.read_text("utf-8") + "\nnonsense: 1\n", "utf-8")
    (finding,) = doctor.check_policies(replace(settings, policies=tmp_path / "policies"))
    assert finding.level == "fault"
    assert "routes.yaml:" in finding.text


def test_tls(settings, tmp_path):
    """Plain HTTP beyond loopback is warned of; a pair that does not match is a fault."""
    assert levels(doctor.check_tls, settings) == []
    assert levels(doctor.check_tls, replace(settings, listen="0.0.0.0:1")) == [("tls", "warning")]
    certificate, key = self_signed(tmp_path)
    finding = only(doctor.check_tls, replace(settings, tls_certificate=certificate, tls_key=key))
    assert finding.level == "warning"  # it ends tomorrow
    other = tmp_path / "other"
    other.mkdir()
    _, wrong = self_signed(other)
    assert (
        only(doctor.check_tls, replace(settings, tls_certificate=certificate, tls_key=wrong)).level == "fault"
    )
    assert only(doctor.check_tls, replace(settings, ca_bundle=key)).level == "fault"
    assert levels(doctor.check_tls, replace(settings, ca_bundle=certificate)) == []


def test_admin_tokens(settings, tmp_path):
    """A file that others can write is a fault, and so is one that cannot be read."""
    path = tmp_path / "tokens"
    path.write_text(f"admin {hashlib.sha256(b'x').hexdigest()}\n")
    path.chmod(0o640)
    named = replace(settings, admin_token_file=path)
    assert only(doctor.check_admin, named).level == "ok"
    path.chmod(0o666)
    assert only(doctor.check_admin, named).level == "fault"
    path.write_text("admin letmein\n")
    finding = only(doctor.check_admin, named)
    assert finding.level == "fault"
    assert "letmein" not in finding.text


def test_a_taken_address_is_a_warning(settings):
    """It may well be the gateway itself that runs there."""
    assert only(doctor.check_address, settings).level == "ok"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert only(doctor.check_address, replace(settings, listen=address)).level == "warning"


def test_a_secret_that_an_alert_needs_is_missed_before_the_alert(settings, tmp_path):
    """A webhook that would not be signed is found now, by name, and no value is shown."""
    folder = tmp_path / "policies"
    for path in POLICIES.rglob("*.yaml"):
        copy = folder / path.relative_to(POLICIES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text("utf-8"), "utf-8")
    hook = "{url: 'https://hooks.example/x', secret: 'env:NO_SUCH_SECRET'}"
    told = f"destinations:\n  ops: {{webhook: {hook}, place: CA}}\n"
    (folder / "alerts.yaml").write_text(told, "utf-8")
    found = [f for f in doctor.check_policies(replace(settings, policies=folder)) if f.name == "secrets"]
    assert [(each.level, each.text) for each in found] == [
        ("fault", "ops: `env:NO_SUCH_SECRET` is not set; set it or correct the destination")
    ]
