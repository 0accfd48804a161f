"""Traces and metrics for OpenTelemetry, by its GenAI conventions, without a network of its own.

The SDK samples and batches; the protocol's own encoder makes the bytes; ``send`` takes
them to the collector. The composition root gives ``send``, and it goes over our guarded
transport with a permit from the settings, so that telemetry has no way out of its own
(promise 1). Spans carry the attributes of :data:`ATTRIBUTES` and nothing else: no
content, no key, no user.

The names are those of the GenAI conventions at their development stage; money has no
name there, and none here: metrics are for watching, the ledger is for money.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from typing_extensions import override

from gateway import __version__
from gateway.adapters.guard import EgressRefused
from gateway.adapters.transport import TransportFailed
from gateway.ports import Observation

log = logging.getLogger("gateway.telemetry")

Send = Callable[[str, bytes], bool]
"""Takes a path (``/v1/traces``) and an OTLP protobuf body to the collector; may block, since it is
called from the SDK's own thread. Returns whether the collector took it; never raises."""

ATTRIBUTES = frozenset(
    {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.request.stream",
        "gen_ai.response.model",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "error.type",
        "borderpost.app",
        "borderpost.attempts",
        "borderpost.masked",
        "borderpost.outcome",
        "borderpost.place",
        "borderpost.request_id",
        "borderpost.surface",
        "borderpost.team",
    }
)
"""Every attribute that a span may carry."""

SERVED = "served"

# Vendors whose name in the conventions is not the one that our facts use.
_PROVIDERS: Mapping[str, str] = {
    "microsoft": "azure.ai.openai",
    "amazon": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}

_OPERATIONS: Mapping[str, str] = {"embeddings": "embeddings", "count_tokens": "count_tokens"}

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))

Value = str | int | float | bool


def span_attributes(seen: Observation) -> dict[str, Value]:
    """Return the attributes of a call's span; pure, so that a test can hold it to the allow-list."""
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": _OPERATIONS.get(seen.surface, "chat"),
        "gen_ai.provider.name": _PROVIDERS.get(seen.provider, seen.provider),
        "gen_ai.request.model": seen.alias,
        "gen_ai.request.stream": seen.stream,
        "borderpost.app": seen.app,
        "borderpost.attempts": seen.attempts,
        "borderpost.masked": seen.masked,
        "borderpost.outcome": seen.outcome,
        "borderpost.place": seen.place,
        "borderpost.request_id": seen.request_id,
        "borderpost.surface": seen.surface,
        "borderpost.team": seen.team,
    }
    if seen.vendor_model is not None:
        attributes["gen_ai.response.model"] = seen.vendor_model
    if seen.first_chunk_s is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = seen.first_chunk_s
    if seen.usage is not None:
        usage = seen.usage
        attributes["gen_ai.usage.input_tokens"] = usage.total_input
        attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cache_read
        attributes["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write_5m + usage.cache_write_1h
        attributes["gen_ai.usage.output_tokens"] = usage.total_output
        attributes["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning
    if seen.outcome != SERVED:
        attributes["error.type"] = seen.outcome
    return attributes


class _SpanExporter(SpanExporter):
    def __init__(self, send: Send) -> None:
        self._send = send

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        body = encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS if self._send("/v1/traces", body) else SpanExportResult.FAILURE


class _MetricExporter(MetricExporter):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    @override
    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_kwargs: object
    ) -> MetricExportResult:
        body = encode_metrics(metrics_data).SerializeToString()
        return MetricExportResult.SUCCESS if self._send("/v1/metrics", body) else MetricExportResult.FAILURE

    @override
    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: object) -> None:
        """Nothing is held."""

    @override
    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True


class OtelTelemetry:
    """Implements :class:`gateway.ports.Telemetry` with the OpenTelemetry SDK."""

    def __init__(
        self,
        *,
        send: Send,
        sampling: float,
        place: str,
        worker: str,
        metrics: bool = False,
        interval_s: int = 60,
        delay_ms: int = 5_000,
    ) -> None:
        """Start the SDK. ``sampling`` is the share of traces begun here; an incoming one decides itself."""
        # Resource(...) and not Resource.create(...): the latter reads the environment.
        resource = Resource(
            {
                "service.name": "borderpost",
                "service.version": __version__,
                "service.instance.id": worker,
                "borderpost.node_place": place,
            }
        )
        limits = SpanLimits(max_span_attributes=len(ATTRIBUTES), max_events=0, max_links=0)
        self._spans = BatchSpanProcessor(
            _SpanExporter(send),
            max_queue_size=8_192,
            schedule_delay_millis=delay_ms,
            max_export_batch_size=512,
            export_timeout_millis=10_000,
        )
        self._tracers = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sampling)), resource=resource, span_limits=limits,
            shutdown_on_exit=False,
        )  # fmt: skip
        self._tracers.add_span_processor(self._spans)
        self._tracer = self._tracers.get_tracer("borderpost", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._meters: MeterProvider | None = None
        if metrics:
            self._start_metrics(_MetricExporter(send), resource, interval_s)

    def _start_metrics(self, exporter: MetricExporter, resource: Resource, interval_s: int) -> None:
        views = [
            View(
                instrument_name="gen_ai.client.token.usage",
                aggregation=ExplicitBucketHistogramAggregation(_TOKENS),
            ),
            View(
                instrument_name="gen_ai.client.operation.*",
                aggregation=ExplicitBucketHistogramAggregation(_SECONDS),
            ),
        ]
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=interval_s * 1000)
        self._meters = MeterProvider([reader], resource, views=views, shutdown_on_exit=False)
        meter = self._meters.get_meter("borderpost", __version__)
        self._tokens: Histogram = meter.create_histogram("gen_ai.client.token.usage", "{token}")
        self._duration: Histogram = meter.create_histogram("gen_ai.client.operation.duration", "s")
        self._first_chunk: Histogram = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s"
        )

    def observe(self, seen: Observation) -> None:
        """Record one finished call: a span if it is sampled, and metrics if they are on."""
        parent = self._propagator.extract(seen.trace) if "traceparent" in seen.trace else None
        operation = _OPERATIONS.get(seen.surface, "chat")
        span = self._tracer.start_span(
            f"{operation} {seen.alias}", parent, SpanKind.CLIENT, start_time=seen.started
        )
        if span.is_recording():
            span.set_attributes(span_attributes(seen))
            if seen.outcome != SERVED:
                span.set_status(Status(StatusCode.ERROR))
            span.end(seen.started + round(seen.duration_s * 1e9))
        if self._meters is not None:
            self._measure(seen, operation)

    def _measure(self, seen: Observation, operation: str) -> None:
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _PROVIDERS.get(seen.provider, seen.provider),
            "gen_ai.request.model": seen.alias,
            "borderpost.app": seen.app,
            "borderpost.team": seen.team,
            "borderpost.place": seen.place,
        }
        if seen.outcome != SERVED:
            attributes["error.type"] = seen.outcome
        self._duration.record(seen.duration_s, attributes)
        if seen.first_chunk_s is not None:
            self._first_chunk.record(seen.first_chunk_s, attributes)
        if seen.usage is not None:
            self._tokens.record(seen.usage.total_input, {**attributes, "gen_ai.token.type": "input"})
            self._tokens.record(seen.usage.total_output, {**attributes, "gen_ai.token.type": "output"})

    def count(self, name: str, **labels: str) -> None:
        """Do nothing: events of the gateway itself are counted for Prometheus."""

    def close(self) -> None:
        """Send what waits, for at most a few seconds. Blocks; call it off the event loop."""
        self._tracers.force_flush(5_000)
        self._tracers.shutdown()
        if self._meters is not None:
            self._meters.shutdown(5_000)


def over_loop(
    loop: asyncio.AbstractEventLoop,
    post: Callable[[str, bytes], Coroutine[object, object, bool]],
    *,
    timeout_s: float = 10.0,
) -> Send:
    """Make a :data:`Send` of an async ``post`` that runs on the gateway's event loop."""

    def send(path: str, body: bytes) -> bool:
        work = post(path, body)
        try:
            waiting = asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:  # the loop is closed: the process ends
            work.close()
            return False
        # The loop cancels what is left when the process ends.
        with contextlib.suppress(concurrent.futures.CancelledError):
            try:
                return waiting.result(timeout_s)
            except concurrent.futures.TimeoutError:
                waiting.cancel()
            except (EgressRefused, TransportFailed, OSError) as failure:
                log.warning("telemetry not sent", extra={"error": type(failure).__name__})
        return False

    return send
