"""Nothing is lost: ``kill -9`` under load, SIGTERM, clients that leave, retries with a key.

Each racing call has an API key of its own, so that what a vendor saw and what the ledger says can
be laid side by side call by call.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.acceptance import bank
from tests.acceptance.calls import PATHS, Answer, Caller, request, well_ended, well_formed_error
from tests.acceptance.running import Running, eventually, gateway
from tests.fakes.vendor import FakeVendor, Script, Seen

Places = dict[str, FakeVendor]
CALLS = 20


def key_id(key: str) -> str:
    """Return the public part of a key, as ledger and records name it."""
    return key.split("_")[2]


def cost(text_in: int, out: int) -> int:
    """Return nano-dollars at the bank's prices: 1 USD per million in, 4 out."""
    return text_in * 1000 + out * 4000


def start(running: Running, key: str, body: dict[str, object]) -> bool:
    """Make one call and read what comes of it; true if it was answered whole."""
    try:
        with Caller(running.url, key) as caller:
            answer = caller.post("chat", body)
        return answer.whole and answer.status == 200 and (not answer.streamed or answer.error is None)
    except httpx.HTTPError:
        return False


def number_of(seen: Seen) -> int:
    """Return which call a vendor saw: its number stands at the end of its prompt."""
    return int(seen.json["messages"][-1]["content"].rpartition(" ")[2])


@pytest.mark.parametrize(
    ("workers", "durability", "stream"),
    [("1", "process", True), ("2", "process", False), ("1", "host", True)],
    ids=["mid-stream", "mid-plain, two workers", "mid-stream, durable to the host"],
)
def test_kill_9_under_load_loses_nothing(
    places: Places, tmp_path: Path, workers: str, durability: str, stream: bool
) -> None:
    """One ledger row per attempt that a vendor saw, never below its meter; one record; holds at zero."""
    bank.write(tmp_path / "policies", bank.bundle(places))
    text = "word " * 400
    slow = Script(text=text, pause_ms=15) if stream else Script(text=text, delay_ms=4000)
    vendor = places["ca"]
    # Some are done when the blow falls, the others are in their middle.
    vendor.script(*(Script() if i < 4 else slow for i in range(CALLS)))
    with gateway(tmp_path, tmp_path / "policies", workers=workers, durability=durability) as running:
        keys = running.keys("teller", CALLS)
        with ThreadPoolExecutor(CALLS) as pool:
            more = {"stream": True} if stream else {}
            bodies = [request("chat", f"call {i}", model="only-ca", **more) for i in range(CALLS)]
            done = [pool.submit(start, running, key, body) for key, body in zip(keys, bodies, strict=True)]
            vendor.wait_for(CALLS, seconds=20)
            time.sleep(0.3)
            running.kill()
            whole = [future.result(20) for future in done]
        assert 0 < sum(whole) < CALLS
        eventually(lambda: all(seen.finished or seen.gone.is_set() for seen in vendor.seen), 5)

        running.start()
        started = time.monotonic()
        running.wait_nothing_held(10)
        assert time.monotonic() - started < 11
        rows = running.ledger(CALLS, wait_s=5)
        saw = {key_id(keys[number_of(seen)]): seen for seen in vendor.seen}
        assert len(rows) == CALLS
        assert {str(row["key_id"]) for row in rows} == set(saw)
        for row in rows:
            seen = saw[str(row["key_id"])]
            assert int(str(row["nano"])) >= cost(seen.billed.input, seen.billed.output), row
            if row["status"] == "served":
                assert not row["estimated"]
                assert (row["input"], row["output"]) == (seen.billed.input, seen.billed.output)
            else:
                assert row["status"] == "abandoned"
                assert row["estimated"]
                assert not seen.finished
        records = running.records(CALLS)
        assert len(records) == CALLS
        assert {str(record["key_id"]) for record in records} == set(saw)
        assert all(record["attempts"] == 1 for record in records)
        assert sum(record["outcome"] == "served" for record in records) >= sum(whole)
        # What the budgets were charged is what the ledger says.
        team = sum(int(str(row["spend_nano"])) for row in rows)
        assert running.windows("team:branch:CAD%")["team:branch:CAD"] == (team, team)
        whole_journal(running)
        with Caller(running.url, keys[0]) as caller:
            assert caller.post("chat", request("chat")).status == 200


def whole_journal(running: Running) -> None:
    """Assert that ``borderpost audit verify`` finds every chain whole."""
    verify = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "audit", "verify", "--data", str(running.data)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert verify.returncode == 0, verify.stdout + verify.stderr
    assert "whole" in verify.stdout


def test_a_worker_that_dies_is_replaced_and_its_calls_are_booked(places: Places, tmp_path: Path) -> None:
    """One of two workers is killed: the other adopts its journal while it goes on serving."""
    bank.write(tmp_path / "policies", bank.bundle(places))
    vendor = places["ca"]
    vendor.script(*[Script(delay_ms=3000)] * 8)
    with gateway(tmp_path, tmp_path / "policies", workers="2") as running:
        keys = running.keys("teller", 8)
        with ThreadPoolExecutor(8) as pool:
            bodies = [request("chat", f"call {i}", model="only-ca") for i in range(8)]
            done = [pool.submit(start, running, key, body) for key, body in zip(keys, bodies, strict=True)]
            vendor.wait_for(8)
            assert running.process is not None
            victim = workers_of(running.process.pid)[0]
            subprocess.run(["kill", "-9", str(victim)], check=True)
            whole = [future.result(20) for future in done]
        rows = running.ledger(8, wait_s=12)
        assert len(rows) == 8
        assert sum(row["status"] == "served" for row in rows) == sum(whole)
        assert all(bool(row["estimated"]) == (row["status"] == "abandoned") for row in rows)
        assert len(running.records(8)) == 8
        eventually(lambda: len(workers_of(running.process.pid)) == 2, 10)  # type: ignore[union-attr]
        # The dead one's slices shrank to what it spent; nobody had to wait for them to lapse.
        closed = "FROM slices s JOIN writers w ON w.id = s.writer WHERE w.state = 'closed'"
        eventually(lambda: running.rows(f"SELECT 1 {closed}"), 10)
        assert running.rows(f"SELECT s.* {closed} AND s.granted <> s.spent") == []


def workers_of(supervisor: int) -> list[int]:
    """Return the worker processes of a supervisor, oldest first."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    workers = []
    for child in children:
        said = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"spawn_main" in said:
            workers.append(int(child))
    return workers


# ------------------------------------------------------------------------------- in good order


def test_sigterm_lets_a_stream_finish_and_takes_no_new_call(places: Places, tmp_path: Path) -> None:
    """The stream in flight ends whole; a new call on an open connection is told 503; all is booked."""
    bank.write(tmp_path / "policies", bank.bundle(places))
    places["ca"].script(Script(text="word " * 60, pause_ms=25))
    with gateway(tmp_path, tmp_path / "policies", drain_s="10") as running:
        key = running.key("teller")
        with ThreadPoolExecutor(1) as pool, Caller(running.url, key) as other:
            assert other.http.get("/v1/models").status_code == 200  # an open connection
            streaming = pool.submit(one_call, running, key, "chat")
            places["ca"].wait_for(1)
            assert running.process is not None
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            late = other.post("chat", request("chat"))
            assert late.status == 503
            assert well_formed_error("chat", late)["code"] == "shutting_down"
            assert int(late.headers["retry-after"]) >= 1
            answer = streaming.result(20)
        well_ended("chat", answer)
        assert answer.error is None
        assert answer.raw.count(b"word ") >= 59
        assert running.process.wait(15) == 0
        assert len(places["ca"].seen) == 1
        (row,) = running.ledger(1)
        assert (row["status"], bool(row["estimated"])) == ("served", False)
        assert not running.held()


def one_call(running: Running, key: str, surface: str, headers: dict[str, str] | None = None) -> Answer:
    """Make one streamed call on a connection of its own."""
    with Caller(running.url, key) as caller:
        return caller.post(surface, request(surface, "long", model="only-ca", stream=True), headers=headers)


def test_sigterm_cuts_what_does_not_end_with_a_proper_end(places: Places, tmp_path: Path) -> None:
    """A stream and an idempotent call that outlast the drain: an error event, an error, and a row each."""
    bank.write(tmp_path / "policies", bank.bundle(places))
    places["ca"].default = Script(text="word " * 4000, pause_ms=25, delay_ms=50)
    try:
        with gateway(tmp_path, tmp_path / "policies", drain_s="1") as running:
            key = running.key("teller")
            with ThreadPoolExecutor(3) as pool:
                streaming = {
                    surface: pool.submit(one_call, running, key, surface) for surface in ("chat", "messages")
                }
                kept = pool.submit(one_call, running, key, "chat", {"idempotency-key": "one"})
                places["ca"].wait_for(3)
                time.sleep(0.3)
                assert running.process is not None
                running.process.send_signal(signal.SIGTERM)
                for surface, future in streaming.items():
                    answer = future.result(20)
                    well_ended(surface, answer)
                    assert answer.error is not None
                kept.result(20)
            assert running.process.wait(15) == 0
            assert all(seen.gone.wait(2) for seen in places["ca"].seen)
            assert len(running.ledger(3)) == 3
            assert len(running.records(3)) == 3
            assert not running.held()
    finally:
        places["ca"].default = Script()


# --------------------------------------------------------------------------- clients that leave


@pytest.fixture(scope="module")
def steady(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that stays up."""
    folder = tmp_path_factory.mktemp("steady")
    files = bank.bundle(places)
    files["connections.yaml"]["connections"]["ca"]["surfaces"] = ["chat", "embeddings", "responses"]
    bank.write(folder / "policies", files)
    with gateway(folder, folder / "policies") as running:
        yield running


def leave(
    running: Running, key: str, surface: str, body: dict[str, object], *, after: Callable[[], object]
) -> bytes:
    """Send a call on a socket, wait for ``after``, and close without reading to the end."""
    data = orjson.dumps(body)
    lines = (
        f"POST {PATHS[surface]} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
    )
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as wire:
        wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        got = wire.recv(65536) if body.get("stream") else b""
        after()
    return got


@pytest.mark.parametrize("surface", ["chat", "messages", "responses"])
@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "plain"])
def test_a_client_that_leaves_ends_the_vendors_work(
    steady: Running, places: Places, surface: str, stream: bool
) -> None:
    """The vendor is hung up on within two seconds, and what it may have billed is booked once."""
    vendor = places["ca"]
    vendor.script(Script(text="word " * 2000, pause_ms=10, delay_ms=0 if stream else 8000))
    key = steady.key("teller")
    more = {"stream": True} if stream else {}
    body = request(surface, "call", model="only-ca", **more)
    leave(steady, key, surface, body, after=lambda: vendor.wait_for(1))
    left = time.monotonic()
    seen = vendor.seen[0]
    assert seen.gone.wait(2), "the vendor goes on working"
    assert seen.gone_at is not None
    assert seen.gone_at - left < 2
    booked = f"SELECT * FROM ledger WHERE key_id = '{key_id(key)}'"
    eventually(lambda: steady.rows(booked), 8)
    (row,) = steady.rows(booked)
    assert row["status"] == "abandoned"
    assert row["estimated"]
    assert int(str(row["nano"])) >= cost(seen.billed.input, seen.billed.output)
    (record,) = steady.rows(f"SELECT * FROM records WHERE key_id = '{key_id(key)}'")
    assert (record["outcome"], record["status"]) == ("abandoned", 200 if stream else 499)
    steady.wait_no_open_hold()


def test_a_reader_that_does_not_read_stalls_the_vendor_and_not_the_gateway(
    steady: Running, places: Places
) -> None:
    """Back-pressure reaches the vendor: an endless stream that nobody reads is not gathered in memory."""
    vendor = places["ca"]
    vendor.script(Script(text="x" * 4000, endless=True))
    key = steady.key("teller")
    body = request("chat", "call", model="only-ca", stream=True, max_tokens=1000)

    def stalled() -> None:
        seen = vendor.wait_for(1)[0]
        counted = -1
        until = time.monotonic() + 10
        while seen.billed.output != counted:
            assert time.monotonic() < until, "it is still being read"
            counted = seen.billed.output
            time.sleep(0.4)
        with Caller(steady.url, key) as other:  # and others are served meanwhile
            assert other.post("chat", request("chat")).status == 200

    leave(steady, key, "chat", body, after=stalled)
    assert vendor.seen[0].gone.wait(2)
    steady.wait_no_open_hold()


# ------------------------------------------------------------------------------- retries by key


@pytest.fixture(scope="module")
def retrying(steady: Running) -> Iterator[Caller]:
    """A caller that repeats itself."""
    with Caller(steady.url, steady.key("teller")) as caller:
        yield caller


@pytest.mark.parametrize("surface", ["chat", "messages", "responses", "embeddings"])
def test_the_same_idempotency_key_replays_and_bills_once(
    retrying: Caller, places: Places, surface: str
) -> None:
    """Plain and streamed: the very same answer again, marked as replayed, and one call at the vendor."""
    for more in ({}, {"stream": True}) if surface != "embeddings" else ({},):
        places["ca"].forget()
        named = {"idempotency-key": f"{surface}-{len(more)}"}
        body = request(surface, "once", model="only-ca", **more)
        first, second = (retrying.post(surface, body, headers=named) for _ in range(2))
        assert first.status == second.status == 200
        assert first.raw == second.raw
        assert "x-borderpost-replayed" not in first.headers
        assert second.headers["x-borderpost-replayed"] == "true"
        assert first.headers["x-request-id"] == second.headers["x-request-id"]
        assert first.headers["content-type"] == second.headers["content-type"]
        assert len(places["ca"].seen) == 1


def test_a_key_belongs_to_one_request_of_one_caller(
    steady: Running, retrying: Caller, places: Places
) -> None:
    """Another body or surface under the key: 409. Another caller's same key: a call of its own."""
    named = {"idempotency-key": "mine"}
    body = request("chat", "one", model="only-ca")
    assert retrying.post("chat", body, headers=named).status == 200
    other = retrying.post("chat", request("chat", "two", model="only-ca"), headers=named)
    assert other.status == 409
    assert well_formed_error("chat", other)["code"] == "idempotency_conflict"
    assert retrying.post("messages", request("messages", "one"), headers=named).status == 409
    assert len(places["ca"].seen) == 1
    with Caller(steady.url, steady.key("teller")) as stranger:
        again = stranger.post("chat", body, headers=named)
        assert again.status == 200
        assert "x-borderpost-replayed" not in again.headers
    assert len(places["ca"].seen) == 2
    for bad in ("", "é" * 3, "x" * 300):
        answer = retrying.post("chat", body, headers={"idempotency-key": bad.encode()})  # type: ignore[dict-item]
        assert answer.status == (200 if not bad else 400)


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "plain"])
def test_a_retry_gets_the_answer_that_the_first_client_did_not_wait_for(
    steady: Running, places: Places, stream: bool
) -> None:
    """The first client leaves; the call runs to its end; the retry is told to wait, then gets it."""
    vendor = places["ca"]
    vendor.script(Script(text="word " * 50, pause_ms=20, delay_ms=0 if stream else 1200))
    key = steady.key("teller")
    more = {"stream": True} if stream else {}
    body = request("chat", "once", model="only-ca", **more)
    data = orjson.dumps(body)
    lines = (
        f"POST {PATHS['chat']} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        "Idempotency-Key: left",
        f"Content-Length: {len(data)}",
    )
    with socket.create_connection(("127.0.0.1", steady.port), timeout=10) as wire:
        wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        vendor.wait_for(1)
    told: list[Answer] = []
    with Caller(steady.url, key) as retry:

        def answered() -> bool:
            told.append(retry.post("chat", body, headers={"idempotency-key": "left"}))
            return told[-1].status == 200

        eventually(answered, 10)
    assert all(a.status == 409 and a.headers["retry-after"] == "1" for a in told[:-1])
    assert len(told) > 1
    assert told[-1].headers["x-borderpost-replayed"] == "true"
    assert told[-1].raw.count(b"word ") >= 1
    if stream:
        well_ended("chat", told[-1])
        assert told[-1].raw.count(b"word") == 50
    assert len(vendor.seen) == 1
    booked = f"SELECT * FROM ledger WHERE key_id = '{key_id(key)}'"
    eventually(lambda: steady.rows(booked), 8)
    (row,) = steady.rows(booked)
    assert (row["status"], bool(row["estimated"])) == ("served", False)


def test_a_failure_is_not_replayed(retrying: Caller, places: Places) -> None:
    """After an error, and after a stream that broke, the same key gets another try."""
    vendor = places["ca"]
    named: dict[str, Any] = {"idempotency-key": "failing"}
    vendor.script(Script(status=400))
    body = request("chat", "again", model="only-ca")
    assert retrying.post("chat", body, headers=named).status == 400
    assert retrying.post("chat", body, headers=named).status == 200
    vendor.script(Script(die_at=3))
    named = {"idempotency-key": "breaking"}
    broken = retrying.post("chat", {**body, "stream": True}, headers=named)
    assert broken.error is not None
    fine = retrying.post("chat", {**body, "stream": True}, headers=named)
    assert fine.error is None
    well_ended("chat", fine)
    assert len(vendor.seen) == 4


def test_racing_retries_run_once(steady: Running, places: Places) -> None:
    """Ten at once under one key: one runs, the others are told to wait or get its answer."""
    places["ca"].script(Script(delay_ms=300))
    key = steady.key("teller")
    body = request("chat", "race", model="only-ca")

    def one(_: int) -> int:
        with Caller(steady.url, key) as caller:
            return caller.post("chat", body, headers={"idempotency-key": "race"}).status

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(one, range(10)))
    assert statuses[0] == 200
    assert set(statuses) <= {200, 409}
    assert len(places["ca"].seen) == 1
