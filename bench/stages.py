"""What each stage of a call costs, one by one, on values: no network, no database.

    python -m bench.stages

CPU time of this process, the best of several repeats, since everything that disturbs a
measurement makes it longer. A stage whose figure is a surprise is where to look.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from bench.load import request
from bench.run import PERSONAL
from bench.upstream import REPLY, _chunk
from gateway.adapters.detectors.inline import InlineDetector
from gateway.adapters.journal_file import FileJournal
from gateway.adapters.memory_budgets import MemoryBudgets
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.telemetry_otel import OtelTelemetry
from gateway.adapters.telemetry_prometheus import PrometheusTelemetry
from gateway.attempts import terms
from gateway.core import patterns, translate
from gateway.core.classify import classify
from gateway.core.clear import attempt_name, clear
from gateway.core.decide import decide
from gateway.core.errors import Refusal
from gateway.core.features import features, invalid
from gateway.core.meter import Meter
from gateway.core.prices import charge
from gateway.core.record import intent
from gateway.core.redact import redact
from gateway.core.restore import ReplyFold
from gateway.core.values import Call, Caller, Dialect, Event, Surface, Usage
from gateway.core.walk import leaves
from gateway.detection import Detection
from gateway.policy.compile import compile_bundle
from gateway.policy.load import load_bundle
from gateway.ports import Observation

POLICIES = Path(__file__).parent / "policies"


def cost_us(work: Callable[[], object], *, budget_s: float = 0.4) -> float:
    """Return the CPU time of one run, in microseconds: the best of five."""
    times = 1
    while True:
        began = time.process_time()
        for _ in range(times):
            work()
        took = time.process_time() - began
        if took > budget_s / 10:
            break
        times *= 4
    best = took / times
    for _ in range(4):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best * 1e6


def say(stage: str, us: float, note: str = "") -> None:
    print(f"{stage:38}{us:10.1f} µs  {note}")


def sure(value):
    """Return the value; a refusal here is a fault of the bench's policy."""
    if isinstance(value, Refusal):
        raise SystemExit(f"refused: {value}")
    return value


def call_of(size: int, text: str | None, *, stream: bool) -> tuple[bytes, Call]:
    raw = request("http://x/v1/chat/completions", "k", "chat", size, stream=stream, text=text)
    raw = raw.partition(b"\r\n\r\n")[2]
    body = orjson.loads(raw)
    caller = Caller(tenant="bench", team="bench", app="bench", key_id="key_1")
    call = Call(
        id="req_bench", surface=Surface.CHAT, caller=caller, model="chat", stream=stream, body=body,
        size=len(raw), received=time.time_ns(), features=features(Surface.CHAT, body),
    )  # fmt: skip
    return raw, call


def prompt_side(snapshot, size: int, text: str | None = None) -> None:
    """Time what happens before the first byte goes upstream."""
    raw, call = call_of(size, text, stream=False)
    title = f"{size} B" + (", personal" if text else "")
    kinds = snapshot.detectors_for["bench"]
    loop = asyncio.new_event_loop()
    detection = Detection(detector=InlineDetector(), telemetry=MemoryTelemetry())
    findings, _ = loop.run_until_complete(detection.detect(call, snapshot))
    now = time.time_ns()
    labelled = classify(call, findings, snapshot, detectors_failed=False)
    decision = decide(labelled, snapshot, now=now, decision_id="dec_bench")
    cleared = sure(redact(labelled, decision, salt=b"s" * 32))
    agreed = sure(terms(cleared, "bench-ca", snapshot, at=now))
    joined = " ".join(leaf.text for leaf in leaves(Surface.CHAT, call.body))
    say(f"parse, {title}", cost_us(lambda: orjson.loads(raw)))
    say(
        f"check shape and features, {title}",
        cost_us(lambda: (invalid(Surface.CHAT, call.body), features(Surface.CHAT, call.body))),
    )
    say(f"walk, {title}", cost_us(lambda: leaves(Surface.CHAT, call.body)))
    say(f"scan, {title}", cost_us(lambda: patterns.scan(joined, kinds)), f"{len(findings)} found")
    say(f"classify, {title}", cost_us(lambda: classify(call, findings, snapshot, detectors_failed=False)))
    say(f"decide, {title}", cost_us(lambda: decide(labelled, snapshot, now=now, decision_id="d")))
    say(f"redact, {title}", cost_us(lambda: redact(labelled, decision, salt=b"s" * 32)))
    say(f"terms (bound, wants), {title}", cost_us(lambda: terms(cleared, "bench-ca", snapshot, at=now)))
    say(
        f"translate request, {title}",
        cost_us(
            lambda: translate.request(
                cleared.body, Surface.CHAT, Dialect.CHAT, model="m", output_cap=64, stream=False
            )
        ),
    )
    if size > 200 or text:
        loop.close()
        return
    budgets = MemoryBudgets()
    number = iter(range(10**9))

    async def hold():
        held = await budgets.reserve(f"h{next(number)}", agreed.wants)
        budgets.settle(sure(held), {want.budget: 1 for want in agreed.wants})

    say(
        "reserve and settle, in memory",
        cost_us(lambda: loop.run_until_complete(hold())),
        "with a turn of the loop",
    )
    held = sure(loop.run_until_complete(budgets.reserve(attempt_name(call.id, 1), agreed.wants)))
    cleared_for = {"now": now, "number": 1, "output_cap": 64, "clamped": False, "timeout_ms": 1000}
    attempt = sure(clear(cleared, "bench-ca", held, snapshot, **cleared_for))
    say("clear", cost_us(lambda: clear(cleared, "bench-ca", held, snapshot, **cleared_for)))
    with tempfile.TemporaryDirectory() as folder:
        journal = FileJournal.claim(Path(folder), place="CA-QC", durability="process")
        say("journal entry: build", cost_us(lambda: intent(attempt, bound=agreed.bound)))
        entry = intent(attempt, bound=agreed.bound)
        say("journal entry: append", cost_us(lambda: journal.write("attempt.intent", entry)))
        journal.close()
    usage = Usage(input=40, output=8)
    say("charge", cost_us(lambda: charge(snapshot, "bench-ca", usage, at=now)))
    loop.close()


def reply_side(snapshot, text: str | None) -> None:
    """Time the folds over 1,000 streamed events."""
    _, call = call_of(200, text, stream=True)
    loop = asyncio.new_event_loop()
    detection = Detection(detector=InlineDetector(), telemetry=MemoryTelemetry())
    findings, _ = loop.run_until_complete(detection.detect(call, snapshot))
    loop.close()
    labelled = classify(call, findings, snapshot, detectors_failed=False)
    decision = decide(labelled, snapshot, now=time.time_ns(), decision_id="dec_bench")
    cleared = sure(redact(labelled, decision, salt=b"s" * 32))
    chunks = [_chunk({"content": f" word{number}"}, None) for number in range(999)]
    chunks.append(_chunk({}, "stop") | {"usage": REPLY["usage"]})
    raws = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    events = [Event(name=None, data=orjson.loads(raw[6:-2]), raw=raw) for raw in raws]

    def metered():
        meter = Meter(Dialect.CHAT)
        for event in events:
            meter.see(event)

    def folded():
        fold = translate.stream_fold(Dialect.CHAT, Surface.CHAT, asked_model="chat", app_wants_usage=True)
        for event in events:
            fold.step(event)

    def restored():
        fold = ReplyFold(Surface.CHAT, cleared)
        for event in events:
            fold.step(event)
        fold.end()

    kind = "personal" if text else "plain"
    if not text:
        say("parse 1,000 events", cost_us(lambda: [orjson.loads(raw[6:-2]) for raw in raws]))
        say("meter 1,000 events", cost_us(metered))
        say("translate 1,000 events, same shape", cost_us(folded))
    say(f"inspect and restore 1,000 events, {kind}", cost_us(restored), f"{len(cleared.originals)} tokens")


def telemetry() -> None:
    """Time what a finished call costs in metrics and spans."""
    seen = Observation(
        surface="chat", app="bench", team="bench", alias="chat", provider="bench", place="CA-QC",
        outcome="served", stream=False, started=time.time_ns(), duration_s=0.1, first_chunk_s=None,
        usage=Usage(input=40, output=8), attempts=1, masked=0, vendor_model="bench-1",
        request_id="req_bench", trace={},
    )  # fmt: skip
    prometheus = PrometheusTelemetry()
    say("metrics of a call", cost_us(lambda: prometheus.observe(seen)))
    for share in (0.0, 1.0):
        otel = OtelTelemetry(send=lambda _path, _body: True, sampling=share, place="CA-QC", worker="w")
        say(
            f"span of a call, sampling {share:g}",
            cost_us(lambda otel=otel: otel.observe(seen), budget_s=0.05),
        )
        otel.close()


def main() -> None:
    """Print every stage."""
    now = time.time_ns()
    snapshot = compile_bundle(load_bundle(POLICIES, now=now), now=now)
    print(f"stages, CPU time, pid {os.getpid()}")
    prompt_side(snapshot, 200)
    prompt_side(snapshot, 200, PERSONAL)
    prompt_side(snapshot, 8192)
    reply_side(snapshot, None)
    reply_side(snapshot, PERSONAL)
    telemetry()


if __name__ == "__main__":
    main()
