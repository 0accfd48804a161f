"""``borderpost alerts``: what was told, and a sample to see that it arrives."""

from __future__ import annotations

import http.server
import threading

import orjson
import pytest
from click.testing import CliRunner

from gateway.adapters.store_sql import alerts as rows
from gateway.cli.alerts import command
from gateway.core.alerts import sample
from tests.acceptance import bank
from tests.people import NOW, database
from tests.spine import Vendorless


@pytest.fixture
def hook():
    """A webhook on loopback; its ``status`` is what it answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            server.got.append(orjson.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(server.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.status = [], 204
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tmp_path, monkeypatch, hook):
    """Run the command over the bank's bundle with two destinations."""
    files = bank.bundle({"ca": Vendorless("openai", 1001)})
    url = f"http://127.0.0.1:{hook.server_address[1]}/x"
    files["alerts.yaml"] = {
        "destinations": {
            "ops": {"webhook": {"url": url, "private": True}, "place": "CA-QC"},
            "lost": {"webhook": {"url": "http://127.0.0.1:1/x", "private": True}, "place": "CA-QC"},
        }
    }
    bank.write(tmp_path / "policies", files)
    monkeypatch.setenv("BORDERPOST_POLICIES", str(tmp_path / "policies"))
    monkeypatch.setenv("BORDERPOST_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments):
        return CliRunner().invoke(command, list(arguments))

    run.policies = tmp_path / "policies"
    run.database = f"sqlite:///{tmp_path / 'data' / 'borderpost.db'}"
    return run


def test_a_sample_says_of_each_destination_whether_it_was_taken(run, hook):
    """One that takes it and one that is not there: the status is 1, and the reason is one word."""
    done = run("test")
    assert done.exit_code == 1
    assert "ops: taken" in done.output
    assert "lost: not taken (connect)" in done.output
    (got,) = hook.got
    assert got["type"] == "borderpost.test"
    assert got["data"]["organisation"] == "maple-bank"
    only = run("test", "--to", "ops")
    assert (only.exit_code, only.output.strip()) == (0, "ops: taken")


def test_an_unknown_name_and_no_destination_are_said(run):
    """With what there is, and where it is written how."""
    assert "no destination is called `op`; there are: ops, lost" in run("test", "--to", "op").output
    (run.policies / "alerts.yaml").unlink()
    done = run("test")
    assert (done.exit_code, "alerts.yaml names no destination" in done.output) == (2, True)


def test_the_list_shows_each_alert_and_how_its_delivery_went(run):
    """Newest first, as text and as JSON."""
    assert run("list").output.strip() == "no alert was told yet"
    with database(run.database) as store, store.write() as connection:
        rows.tell(connection, "maple-bank", sample("ops", now=NOW), ["ops"], new_id="alert_1")
        (mine,) = rows.claim(connection, "w", now_us=NOW // 1000, lease_us=1)
        rows.finish(connection, mine, state=rows.UNDELIVERED, now_us=NOW // 1000, why="timeout")
    lines = run("list").output.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("2026-11-23T19:00:00Z  test")
    assert lines[0].endswith("[noted]")
    assert lines[1].endswith("[undelivered → ops, timeout]")
    noted, lost = orjson.loads(run("list", "--format", "json").output)
    assert (noted["destination"], lost["destination"], lost["why"]) == (None, "ops", "timeout")
    assert len(orjson.loads(run("list", "--format", "json", "--most", "1").output)) == 1
