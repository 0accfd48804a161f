"""``borderpost demo``: made twice it makes nothing twice, and it uses no vendor's key."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace

import httpx
import pytest

from gateway.adapters.store_sql import keys as rows
from gateway.cli.demo import (
    APPS,
    VENDOR_KEYS,
    forget_vendor_keys,
    greeting,
    ports_of,
    prepare,
    read,
    undetectable,
)
from gateway.cli.opened import snapshot_of, store_of
from gateway.settings import Settings, read_admin_tokens
from tests.cli.desk import STARTER

SNAPSHOT = snapshot_of(STARTER)


@pytest.fixture
def settings(tmp_path):
    plain = Settings.load(None, {"BORDERPOST_DATA_DIR": str(tmp_path / "data")})
    return replace(plain, policies=STARTER, listen="127.0.0.1:18080")


def stored(settings):
    with store_of(settings) as store, store.read() as connection:
        return rows.all_keys(connection)


def test_keys_and_tokens_are_made_once(settings, tmp_path):
    """A second start hands out the same, so that what was pasted goes on working."""
    file = tmp_path / "home" / "demo.json"
    first = prepare(settings, SNAPSHOT, file)
    second = prepare(settings, SNAPSHOT, file)
    assert first == second == read(file)
    assert set(first.keys) == set(APPS)
    assert all(key.startswith("bp_demo_") for key in first.keys.values())
    assert len(stored(settings)) == len(APPS)
    tokens = read_admin_tokens(file.with_name("admin.tokens"))
    assert [token.role for token in tokens] == ["admin", "finance"]


def test_a_key_that_no_longer_works_is_replaced(settings, tmp_path):
    """Also where the database is a new one."""
    file = tmp_path / "demo.json"
    first = prepare(settings, SNAPSHOT, file)
    with store_of(settings) as store, store.write() as connection:
        dead = next(row for row in rows.all_keys(connection) if row.app == "teller")
        rows.revoke(connection, dead.tenant, dead.id, at_us=1, by="test")
    second = prepare(settings, SNAPSHOT, file)
    assert second.keys["teller"] != first.keys["teller"]
    assert second.keys["tiny"] == first.keys["tiny"]
    elsewhere = prepare(replace(settings, data_dir=tmp_path / "other"), SNAPSHOT, file)
    assert not set(elsewhere.keys.values()) & set(second.keys.values())


def test_files_are_the_owners_alone(settings, tmp_path):
    """Demo keys are keys."""
    prepare(settings, SNAPSHOT, tmp_path / "demo.json")
    for name in ("demo.json", "admin.tokens"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 1}', '{"url": "x", "keys": 3, "tokens": {}}'])
def test_a_broken_file_is_no_demo(tmp_path, text):
    """It is made anew."""
    (tmp_path / "demo.json").write_text(text)
    assert read(tmp_path / "demo.json") is None


def test_vendors_keys_are_taken_out_of_the_environment():
    """Named, so that the demo can say so; nothing else is touched."""
    environ = {VENDOR_KEYS[0]: "sk", "ANTHROPIC_API_KEY": "sk", "HOME": "/root"}
    assert forget_vendor_keys(environ) == [VENDOR_KEYS[0], "ANTHROPIC_API_KEY"]
    assert environ == {"HOME": "/root"}


def test_the_greeting_can_be_pasted(settings, tmp_path):
    """Both SDKs' variables, and what was not used."""
    demo = prepare(settings, SNAPSHOT, tmp_path / "demo.json")
    text = greeting(demo, settings, SNAPSHOT, ["OPENAI_API_KEY"])
    assert f"export OPENAI_BASE_URL=http://localhost:18080/v1 OPENAI_API_KEY={demo.keys['teller']}" in text
    assert "ANTHROPIC_BASE_URL=http://localhost:18080 " in text
    assert "Not used: OPENAI_API_KEY" in text
    assert "Not used" not in greeting(demo, settings, SNAPSHOT, [])


def test_demo_models_stand_in_for_loopback_connections_only():
    """A real vendor's connection in the policies is never served by a demo model."""
    connections = dict(SNAPSHOT.connections)
    first = next(iter(connections))
    connections["real"] = replace(connections[first], url="https://api.example.com:8443/v1")
    ports = ports_of(replace(SNAPSHOT, connections=connections))
    assert "real" not in ports
    assert set(ports) == set(SNAPSHOT.connections)


def test_what_patterns_cannot_find_is_named_before_the_start(settings):
    """The starter policies look for names of people: without the language models the demo says so."""
    assert settings.detectors.mode == "inline"
    assert "person" in undetectable(settings, SNAPSHOT)
    assert "email" not in undetectable(settings, SNAPSHOT)
    full = replace(settings, detectors=replace(settings.detectors, mode="presidio"))
    assert undetectable(full, SNAPSHOT) == []


def free_ports(count):
    """Ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_first_five_minutes(tmp_path):
    """The demo as people start it, and every `try` against it sees its promise kept."""
    port, *models = free_ports(5)
    shutil.copytree(STARTER, tmp_path / "policies")
    file = tmp_path / "policies" / "connections.yaml"
    text = file.read_text()
    for old, new in zip(range(8090, 8094), models, strict=True):
        text = text.replace(f":{old}", f":{new}")
    file.write_text(text)
    command = [sys.executable, "-c", "from gateway.cli import main; main(prog_name='borderpost')"]
    environment = {**os.environ, "OPENAI_API_KEY": "not used", "PYTHONPATH": str(STARTER.parent)}
    log = (tmp_path / "log").open("wb")
    demo = subprocess.Popen(
        [*command, "demo", "--port", str(port)], cwd=tmp_path, env=environment, stdout=log, stderr=log
    )
    try:
        with httpx.Client(trust_env=False) as client:
            wait_until(lambda: ready(client, f"http://127.0.0.1:{port}/readyz"), demo)
        for what in ("sin", "abroad", "budget", "thumb", "report"):
            done = run([*command, "try", what], cwd=tmp_path)
            assert done.returncode == 0, f"try {what}: {done.stdout}{done.stderr}"
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(30) == 0
    finally:
        demo.kill()
        demo.wait()
        log.close()
    said = (tmp_path / "log").read_text()
    assert "Not used: OPENAI_API_KEY" in said
    assert "Traceback" not in said
    audit = run([*command, "audit", "verify"], cwd=tmp_path)
    assert audit.returncode == 0, audit.stdout + audit.stderr


def run(command, cwd):
    return subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True)


def ready(client, url):
    """Whether the gateway says that it is."""
    try:
        return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(condition, process):
    """Wait as long as the process lives; the test's own timeout is the bound."""
    while not condition():
        assert process.poll() is None, "the demo ended before it was ready"
        time.sleep(0.1)


def test_what_is_written_is_json(settings, tmp_path):
    """Other programs read it."""
    demo = prepare(settings, SNAPSHOT, tmp_path / "demo.json")
    assert json.loads((tmp_path / "demo.json").read_text())["keys"] == demo.keys
