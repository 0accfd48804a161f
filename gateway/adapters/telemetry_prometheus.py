"""Metrics for Prometheus: what the operators watch. The ledger, not this, is for money.

Labels are only those of :data:`LABELS`, and the number of label sets is capped: past the
cap everything is counted under ``other``, so that a caller cannot fill the memory of the
gateway or of Prometheus. With several workers the values live in files that every worker
can read (prometheus_client's multiprocess mode), so that any worker answers ``/metrics``
for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from gateway.ports import Observation

LABELS = ("team", "app", "alias", "provider", "place", "surface", "outcome")
"""Every label that a metric may carry; ``type`` and ``event`` are ours and have few values."""

# Histograms have a series per bucket, so they carry fewer labels.
_TIME_LABELS = ("alias", "provider", "place", "surface")
_TOKEN_LABELS = ("team", "app", "alias", "provider", "place", "type")
_EVENT_LABELS = ("event", "team", "app", "alias", "provider", "place")

# The buckets that the OpenTelemetry GenAI conventions give.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(float(4**power) for power in range(14))

MOST_LABEL_SETS = 2_000

_OTHER = "other"


def metrics_dir(run_dir: Path) -> Path:
    """Return the folder of the files that hold the workers' values."""
    return run_dir / "metrics"


def bury(run_dir: Path, pid: int) -> None:
    """Drop the gauges of a worker that ended; its counters stay, since they happened."""
    # prometheus_client ships no types.
    mark_process_dead(pid, str(metrics_dir(run_dir)))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """The children of one label set, looked up once."""

    calls: Counter
    duration: Histogram
    first_chunk: Histogram
    tokens_in: Histogram
    tokens_out: Histogram


class PrometheusTelemetry:
    """Implements :class:`gateway.ports.Telemetry` with prometheus_client."""

    def __init__(self, *, shared: Path | None = None, most_label_sets: int = MOST_LABEL_SETS) -> None:
        """Make the metrics.

        ``shared`` is the folder of the workers' files, or None for a single worker. Raises
        RuntimeError if prometheus_client was not told the same when it was imported: then
        ``/metrics`` would show one worker and look whole.
        """
        in_files = values.ValueClass is not values.MutexValue
        if in_files != (shared is not None):
            raise RuntimeError("`PROMETHEUS_MULTIPROC_DIR` and the number of workers disagree")
        self._shared = shared
        self._most = most_label_sets
        self._registry = CollectorRegistry()
        self._slots: dict[tuple[str, ...], _Slot] = {}
        self._event_slots: dict[tuple[str, ...], Counter] = {}
        self._levels: list[tuple[Gauge, Callable[[], float]]] = []
        make = self._registry
        self._calls = Counter("borderpost_calls", "Calls by outcome.", LABELS, registry=make)
        self._events = Counter(
            "borderpost_events", "Events of the gateway itself.", _EVENT_LABELS, registry=make
        )
        self._tries = Counter("borderpost_attempts", "Tries upstream.", ("provider", "place"), registry=make)
        self._masked = Counter("borderpost_masked", "Texts masked in prompts.", ("app",), registry=make)
        self._duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Whole time of a call.",
            _TIME_LABELS,
            buckets=_SECONDS,
            registry=make,
        )
        self._first_chunk = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Time to the first chunk of a stream.",
            _TIME_LABELS,
            buckets=_SECONDS,
            registry=make,
        )
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call; input includes cached ones.",
            _TOKEN_LABELS,
            buckets=_TOKENS,
            registry=make,
        )

    def observe(self, seen: Observation) -> None:
        """Record one finished call."""
        key = (seen.team, seen.app, seen.alias, seen.provider, seen.place, seen.surface, seen.outcome)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slot(key)
        slot.calls.inc()
        slot.duration.observe(seen.duration_s)
        if seen.first_chunk_s is not None:
            slot.first_chunk.observe(seen.first_chunk_s)
        if seen.usage is not None:
            slot.tokens_in.observe(seen.usage.total_input)
            slot.tokens_out.observe(seen.usage.total_output)
        if seen.attempts > 1:
            self._tries.labels(seen.provider, seen.place).inc(seen.attempts)
        if seen.masked:
            self._masked.labels(seen.app).inc(seen.masked)

    def _slot(self, key: tuple[str, ...]) -> _Slot:
        if len(self._slots) >= self._most:
            key = (_OTHER,) * len(LABELS)
            if key in self._slots:
                return self._slots[key]
        team, app, alias, provider, place, surface, _ = key
        slot = _Slot(
            calls=self._calls.labels(*key),
            duration=self._duration.labels(alias, provider, place, surface),
            first_chunk=self._first_chunk.labels(alias, provider, place, surface),
            tokens_in=self._tokens.labels(team, app, alias, provider, place, "input"),
            tokens_out=self._tokens.labels(team, app, alias, provider, place, "output"),
        )
        self._slots[key] = slot
        return slot

    def count(self, name: str, **labels: str) -> None:
        """Count an event; labels that metrics may not carry are left out."""
        key = (name, *(labels.get(label, "") for label in _EVENT_LABELS[1:]))
        counter = self._event_slots.get(key)
        if counter is None:
            if len(self._event_slots) >= self._most:
                key = (name, *(_OTHER for _ in _EVENT_LABELS[1:]))
            counter = self._event_slots[key] = self._events.labels(*key)
        counter.inc()

    def level(
        self, name: str, about: str, read: Callable[[], float], *, over_workers: Literal["sum", "max"] = "sum"
    ) -> None:
        """Add a gauge that is read at each scrape and each :meth:`refresh` of its worker."""
        gauge = Gauge(
            name,
            about,
            registry=self._registry,
            multiprocess_mode="livesum" if over_workers == "sum" else "livemax",
        )
        self._levels.append((gauge, read))

    def refresh(self) -> None:
        """Read every gauge now, so that another worker's scrape shows this one's levels."""
        for gauge, read in self._levels:
            gauge.set(read())

    def render(self) -> tuple[bytes, str]:
        """Return the text of all workers' metrics and its content type. Reads files; not for the loop."""
        self.refresh()
        registry = self._registry
        if self._shared is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._shared))  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample of somebody else's metrics."""

    name: str
    labels: Mapping[str, str]
    value: float


def read_text(text: str) -> Iterator[Sample]:
    """Yield the samples of a Prometheus text, as engines serve it. Raises ValueError on anything else."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield Sample(name=sample.name, labels=sample.labels, value=sample.value)
