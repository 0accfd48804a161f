"""The platform engineer: two workers, one set of numbers; reload, revoke and drain without a dropped call."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.acceptance import bank
from tests.acceptance.calls import Caller, request, well_ended
from tests.acceptance.commands import on
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
SETTINGS = {"BORDERPOST_WORKERS": "2", "BORDERPOST_DRAIN_S": "15"}


@pytest.fixture(scope="module")
def two(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway of two workers."""
    folder = tmp_path_factory.mktemp("two")
    bank.write(folder / "policies", bank.bundle(places))
    running = Running(folder=folder, policies=folder / "policies", settings=SETTINGS)
    try:
        yield running.start()
    finally:
        running.kill()


def get(running: Running, path: str) -> httpx.Response:
    """Get a path on a connection of its own: which worker answers is the kernel's choice."""
    return httpx.get(f"{running.url}{path}", trust_env=False, timeout=10)


def served(running: Running, **labels: str) -> float:
    """Return ``borderpost_calls_total`` over the lines that carry these labels."""
    total = 0.0
    for line in get(running, "/metrics").text.splitlines():
        if line.startswith("borderpost_calls_total{") and all(
            f'{k}="{v}"' in line for k, v in labels.items()
        ):
            total += float(line.rpartition(" ")[2])
    return total


def workers(running: Running) -> set[str]:
    """Return the writers that answer ``/status``: one per worker."""
    return {get(running, "/status").json()["worker"]["writer"] for _ in range(24)}


def test_metrics_count_every_workers_calls(two: Running) -> None:
    """Forty calls over both workers are forty in ``/metrics``, whichever worker is asked, refusals apart."""
    key = two.key("teller")
    assert len(workers(two)) == 2

    def call(number: int) -> int:
        with Caller(two.url, key) as caller:
            return caller.post(
                "chat", request("chat", model="chat-pro" if number % 4 == 0 else "only-ca")
            ).status

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(call, range(40)))
    assert (statuses.count(200), statuses.count(403)) == (30, 10)
    for _ in range(8):
        assert served(two, app="teller", outcome="served", place="CA-QC") == 30
        assert served(two, app="teller", outcome="policy_refused") == 10
    text = get(two, "/metrics").text
    assert re.search(r'gen_ai_client_token_usage_count\{[^}]*type="input"[^}]*\} 30\.0', text), text[:3000]
    assert "hello" not in text
    assert "127.0.0.1" not in text


def test_a_revoked_key_is_refused_by_every_worker(two: Running) -> None:
    """``keys revoke`` on the command line: within five seconds no worker takes the key."""
    made = on(two, "keys", "create", "teller", "--label", "to be revoked")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    two.wait_known(key)
    listed = on(two, "keys", "list").stdout
    assert key not in listed
    (line,) = [line for line in listed.splitlines() if "to be revoked" in line]
    revoked = on(two, "keys", "revoke", line.split()[0])
    assert revoked.returncode == 0, revoked.stderr
    until = time.monotonic() + 5
    in_a_row = 0
    while in_a_row < 24:
        with Caller(two.url, key) as caller:
            in_a_row = in_a_row + 1 if caller.post("chat", request("chat")).status == 401 else 0
        assert in_a_row or time.monotonic() < until


def test_sighup_reloads_every_worker_and_drops_no_call(two: Running, places: Places) -> None:
    """A reload in the middle of a stream: the stream ends well, the next call meets the new rules."""
    key = two.key("teller")
    places["ca"].script(Script(text=" ".join(map(str, range(60))), pause_ms=30))
    before = get(two, "/status").json()["policy"]["snapshot"]
    with ThreadPoolExecutor(1) as pool, Caller(two.url, key) as caller:
        stream = pool.submit(caller.post, "chat", request("chat", model="only-ca", stream=True))
        places["ca"].wait_for(1)
        stricter = bank.bundle(places)
        stricter["routes.yaml"]["routes"]["only-ca"] = {"try": ["us"]}
        bank.write(two.policies, stricter)
        assert two.process is not None
        two.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: all(get(two, "/status").json()["policy"]["snapshot"] != before for _ in range(12)), 3
        )
        assert not stream.done()
        with Caller(two.url, key) as other:
            assert other.post("chat", request("chat", model="only-ca")).status == 403
        answer = stream.result()
    well_ended("chat", answer)
    assert answer.error is None
    assert places["us"].raw == b""
    bank.write(two.policies, bank.bundle(places))
    two.process.send_signal(signal.SIGHUP)
    eventually(lambda: all(get(two, "/status").json()["policy"]["snapshot"] == before for _ in range(12)), 3)


def test_status_and_health_tell_no_secrets(two: Running, places: Places) -> None:
    """What machines may read without a key names controls and modes, and no address, key or content."""
    assert get(two, "/healthz").json() == {"status": "alive"}
    assert get(two, "/readyz").json() == {"status": "ready"}
    status = get(two, "/status")
    modes = {control["name"]: control["mode"] for control in status.json()["controls"]}
    assert {"policy", "budgets", "journal", "detectors", "keys"} <= modes.keys()
    # An unsigned folder: changes of money are recorded, and nobody could approve them.
    assert modes.pop("money_approval") == "off"
    assert set(modes.values()) == {"enforcing"}
    assert not any(str(vendor.port) in status.text for vendor in places.values())
    assert "VENDOR_KEY" not in status.text


def test_doctor_on_a_running_installation(two: Running) -> None:
    """Doctor finds nothing to fix, and sees that a gateway runs on the address."""
    done = on(two, "doctor")
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout
    assert "ok    policies: maple-bank v1" in done.stdout
    assert "warn  address:" in done.stdout


def test_doctor_names_what_to_fix(places: Places, tmp_path: Path) -> None:
    """A file that is no certificate, a kind that patterns cannot find, bad policies: each with its fix."""
    names_too = bank.bundle(places)
    names_too["policy.yaml"]["data"]["client"]["found_by"].append("detector:person")
    bank.write(tmp_path / "policies", names_too)
    (tmp_path / "no.pem").write_text("nothing")
    broken = Running(
        folder=tmp_path,
        policies=tmp_path / "policies",
        settings={
            "BORDERPOST_TLS_CERTIFICATE": str(tmp_path / "no.pem"),
            "BORDERPOST_TLS_KEY": str(tmp_path / "no.pem"),
        },
    )
    done = on(broken, "doctor")
    assert done.returncode == 1
    assert "FAIL  tls: certificate and key cannot be used" in done.stdout
    assert "FAIL  detectors: patterns cannot find person" in done.stdout
    assert "→ set BORDERPOST_DETECTORS_MODE to `presidio`" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 to fix"
    bank.write(tmp_path / "policies", {"routes.yaml": {"routes": {"chat": {"try": ["nowhere"]}}}})
    done = on(broken, "doctor")
    assert done.returncode == 1
    assert "`nowhere`" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_drain_ends_well(two: Running, places: Places) -> None:
    """SIGTERM: ``/readyz`` says 503 to who is still connected, the stream ends, the process exits 0.

    The last test of the module: it stops the gateway.
    """
    key = two.key("teller")
    places["ca"].script(Script(text=" ".join(map(str, range(100))), pause_ms=40))
    assert two.process is not None
    with (
        httpx.Client(base_url=two.url, trust_env=False, timeout=5) as connected,
        Caller(two.url, key) as caller,
        ThreadPoolExecutor(1) as pool,
    ):
        assert connected.get("/readyz").status_code == 200
        stream = pool.submit(caller.post, "chat", request("chat", model="only-ca", stream=True))
        places["ca"].wait_for(1)
        two.process.send_signal(signal.SIGTERM)
        said: list[httpx.Response] = []

        def not_ready() -> bool:
            said.append(connected.get("/readyz"))
            return said[-1].status_code == 503

        eventually(not_ready, 3)  # the supervisor passes the signal on within half a second
        assert "draining" in said[-1].json()["failing"]
        assert not stream.done()
        answer = stream.result()
    well_ended("chat", answer)
    assert answer.error is None
    assert two.process.wait(20) == 0
    rows = two.rows("SELECT outcome FROM records WHERE outcome NOT IN ('served', 'policy_refused')")
    assert rows == []
