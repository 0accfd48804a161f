"""OpenTelemetry: the conventions' names, the callers' traces, our own way out, and no content."""

from __future__ import annotations

import asyncio
import threading

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.adapters.telemetry_otel import ATTRIBUTES, OtelTelemetry, over_loop, span_attributes
from tests.adapters.observations import observation

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-"


class Collector:
    """Takes bodies as a collector would, and reads them with the protocol's own classes."""

    def __init__(self, *, takes=True):
        self.bodies = []
        self.takes = takes

    def __call__(self, path, body):
        self.bodies.append((path, body))
        return self.takes

    @property
    def spans(self):
        found = []
        for path, body in self.bodies:
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        found += scope.spans
        return found


def run(collector, *seen, sampling=1.0, **kwargs):
    telemetry = OtelTelemetry(send=collector, sampling=sampling, place="CA-QC", worker="w1", **kwargs)
    for one in seen:
        telemetry.observe(one)
    telemetry.close()
    return collector


def values(attributes):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def test_a_span_carries_the_conventions_names():
    """Operation, provider, models, and usage whose input includes cached tokens; times are the call's."""
    (span,) = run(Collector(), observation()).spans
    seen = values(span.attributes)
    assert span.name == "chat chat"
    assert seen["gen_ai.operation.name"] == "chat"
    assert seen["gen_ai.provider.name"] == "azure.ai.openai"
    assert seen["gen_ai.request.model"] == "chat"
    assert seen["gen_ai.response.model"] == "gpt-41-mini"
    assert seen["gen_ai.usage.input_tokens"] == 40
    assert seen["gen_ai.usage.cache_read.input_tokens"] == 10
    assert seen["gen_ai.usage.output_tokens"] == 7
    assert seen["gen_ai.usage.reasoning.output_tokens"] == 2
    assert span.end_time_unix_nano - span.start_time_unix_nano == 500_000_000


@pytest.mark.parametrize("outcome", ["served", "policy_refused"])
@pytest.mark.parametrize("surface", ["chat", "embeddings", "responses", "messages", "count_tokens"])
def test_no_attribute_outside_the_allow_list(surface, outcome):
    """Nothing can be added to spans without being added to the list; values are plain."""
    attributes = span_attributes(observation(surface=surface, outcome=outcome))
    assert set(attributes) <= ATTRIBUTES
    assert all(isinstance(value, str | int | float | bool) for value in attributes.values())
    assert ("error.type" in attributes) == (outcome != "served")


def test_an_incoming_trace_is_continued():
    """A sampled parent makes a span in its trace, even where nothing is sampled by ourselves."""
    seen = observation(trace={"traceparent": PARENT + "01"})
    (span,) = run(Collector(), seen, sampling=0.0).spans
    assert span.trace_id.hex() == "a" * 32
    assert span.parent_span_id.hex() == "b" * 16


@pytest.mark.parametrize("trace", [{}, {"traceparent": "nonsense"}])
def test_nothing_is_sampled_at_zero(trace):
    """Without a valid sampled parent the share decides."""
    assert not run(Collector(), observation(trace=trace), sampling=0.0).bodies


def test_an_unsampled_parent_is_respected():
    """A caller that decided against tracing is not traced."""
    assert not run(Collector(), observation(trace={"traceparent": PARENT + "00"})).bodies


def test_a_collector_that_fails_hurts_nobody():
    """Export may fail; the calls went on long ago."""
    assert run(Collector(takes=False), observation()).bodies


def test_metrics_are_sent_when_asked():
    """The three GenAI histograms, with the conventions' names, and no user or key."""
    collector = run(Collector(), observation(), metrics=True)
    bodies = [body for path, body in collector.bodies if path == "/v1/metrics"]
    names = {}
    for body in bodies:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    names[metric.name] = metric.histogram.data_points
    assert set(names) == {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
    }
    by_type = {values(p.attributes)["gen_ai.token.type"]: p.sum for p in names["gen_ai.client.token.usage"]}
    assert by_type == {"input": 40, "output": 7}


def test_sending_goes_over_the_event_loop():
    """The SDK's thread hands the bytes to the loop's own transport, and a failure there is a no."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    got = []

    async def post(path, body):
        if path == "/bad":
            raise OSError("unreachable")
        if path == "/slow":
            await asyncio.sleep(30)
        got.append((path, body, threading.get_ident()))
        return True

    send = over_loop(loop, post, timeout_s=0.3)
    assert send("/v1/traces", b"x")
    assert not send("/bad", b"")
    assert not send("/slow", b"")
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert got == [("/v1/traces", b"x", thread.ident)]
    assert not send("/v1/traces", b"y")
