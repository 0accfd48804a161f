"""Metrics: right numbers, few labels, bounded, and whole over several workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.telemetry_prometheus import LABELS, PrometheusTelemetry
from tests.adapters.observations import observation


def samples(telemetry):
    """Return (name, labels) → value."""
    body, kind = telemetry.render()
    assert kind.startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def total(found, name, **labels):
    return sum(value for (n, had), value in found.items() if n == name and set(labels.items()) <= had)


def test_a_call_is_counted_with_its_times_and_tokens():
    """One call adds one to the calls, its seconds to the histogram and its tokens, cached ones included."""
    telemetry = PrometheusTelemetry()
    telemetry.observe(observation())
    telemetry.observe(observation(outcome="policy_refused", usage=None, first_chunk_s=None, duration_s=0.001))
    found = samples(telemetry)
    assert total(found, "borderpost_calls_total", outcome="served", app="teller") == 1
    assert total(found, "borderpost_calls_total", outcome="policy_refused") == 1
    assert total(found, "gen_ai_client_operation_duration_seconds_count") == 2
    assert total(found, "gen_ai_client_operation_duration_seconds_sum") == pytest.approx(0.501)
    assert total(found, "gen_ai_client_operation_time_to_first_chunk_seconds_count") == 1
    assert total(found, "gen_ai_client_token_usage_sum", type="input") == 40
    assert total(found, "gen_ai_client_token_usage_sum", type="output") == 7
    assert total(found, "borderpost_masked_total", app="teller") == 2


def test_only_allowed_labels_appear():
    """No label names a key, a user, a request or a deployment, whatever a caller of `count` passes."""
    telemetry = PrometheusTelemetry()
    telemetry.observe(observation())
    telemetry.count("overrun", app="teller", deployment="azure", key="abc", request_id="req_1")
    allowed = {*LABELS, "le", "type", "event"}
    for (name, labels), value in samples(telemetry).items():
        assert {label for label, _ in labels} <= allowed, name
        assert value >= 0
    assert "abc" not in telemetry.render()[0].decode()
    assert total(samples(telemetry), "borderpost_events_total", event="overrun") == 1


def test_label_sets_are_capped():
    """Past the cap calls are counted under `other`; none is lost."""
    telemetry = PrometheusTelemetry(most_label_sets=5)
    for number in range(50):
        telemetry.observe(observation(app=f"app{number}"))
        telemetry.count("overrun", app=f"app{number}")
    found = samples(telemetry)
    assert total(found, "borderpost_calls_total") == 50
    assert total(found, "borderpost_calls_total", app="other") == 45
    assert total(found, "borderpost_events_total") == 50
    assert len({had for name, had in found if name == "borderpost_calls_total"}) == 6


def test_levels_are_read_at_each_scrape():
    """A gauge shows what its function says now."""
    telemetry = PrometheusTelemetry()
    lag = [3.0]
    telemetry.level("borderpost_journal_lag_seconds", "Lag.", lambda: lag[0], over_workers="max")
    assert total(samples(telemetry), "borderpost_journal_lag_seconds") == 3
    lag[0] = 1.0
    assert total(samples(telemetry), "borderpost_journal_lag_seconds") == 1


def test_disagreement_about_workers_is_refused(tmp_path):
    """In a process that keeps values for itself, `/metrics` must not pretend to speak for all."""
    with pytest.raises(RuntimeError, match="disagree"):
        PrometheusTelemetry(shared=tmp_path)


WORKER = """
import sys
from pathlib import Path
from gateway.adapters.telemetry_prometheus import PrometheusTelemetry
from tests.adapters.observations import observation
telemetry = PrometheusTelemetry(shared=Path(sys.argv[1]))
telemetry.level("borderpost_in_flight", "Calls.", lambda: 2.0)
for _ in range(int(sys.argv[2])):
    telemetry.observe(observation())
telemetry.refresh()
sys.stdout.write(telemetry.render()[0].decode() + "#done\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_any_worker_answers_for_all(tmp_path):
    """The third process shows the calls of the first two as well; of a dead one the counters stay and
    the gauges go.
    """
    environ = os.environ | {
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
        "PYTHONPATH": str(Path.cwd()),
    }
    (tmp_path / "metrics").mkdir()

    def worker(calls):
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "metrics"), str(calls)],
            env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def text(process):
        lines = []
        while (line := process.stdout.readline()) != "#done\n":
            assert line, "the worker failed"
            lines.append(line)
        return "".join(lines)

    def value(shown, name):
        return sum(float(found) for found in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", shown, re.MULTILINE))

    first, second = worker(3), worker(4)
    text(first), text(second)
    third = worker(5)
    shown = text(third)
    assert value(shown, "borderpost_calls_total") == 12
    assert value(shown, "borderpost_in_flight") == 6
    first.communicate()
    bury = (
        "import sys; from pathlib import Path; from gateway.adapters.telemetry_prometheus import bury\n"
        "bury(Path(sys.argv[1]), int(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", bury, str(tmp_path), str(first.pid)], env=environ, check=True)
    fourth = worker(0)
    shown = text(fourth)
    assert value(shown, "borderpost_calls_total") == 12
    assert value(shown, "borderpost_in_flight") == 6
    for process in (second, third, fourth):
        process.communicate()
