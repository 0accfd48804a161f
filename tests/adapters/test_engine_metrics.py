"""Engines' counters, read as each engine writes them, over a real socket, through the guarded transport."""

from __future__ import annotations

import http.server
import threading
import time
from dataclasses import replace

import pytest

from gateway.adapters.engine_metrics import Counted, Engines, NoMetrics, counted, interval, intervals
from gateway.adapters.transport import Transport
from tests.core.gpu_runs import pool

VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="llama"} 12.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="llama"} 0.25
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{engine="0",model_name="llama"} 120000.0
# TYPE vllm:prompt_tokens_cached counter
vllm:prompt_tokens_cached_total{engine="0",model_name="llama"} 20000.0
# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{engine="0",model_name="llama"} 45000.0
# TYPE vllm:num_preemptions counter
vllm:num_preemptions_total{engine="0",model_name="llama"} 3.0
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="llama"} 10.0
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf",model_name="llama"} 5000.0
vllm:iteration_tokens_total_sum{engine="0",model_name="llama"} 165000.0
vllm:iteration_tokens_total_count{engine="0",model_name="llama"} 5000.0
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="20000"} 1.0
"""
SGLANG = """# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="llama"} 9000
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{model_name="llama",cache_source="device"} 900
sglang:cached_tokens_total{model_name="llama",cache_source="host"} 100
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="llama"} 4000
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="llama"} 8
# TYPE sglang:num_used_tokens gauge
sglang:num_used_tokens{model_name="llama"} 5000
"""
TGI = """# TYPE tgi_batch_inference_count counter
tgi_batch_inference_count{method="prefill"} 40
tgi_batch_inference_count{method="decode"} 960
# TYPE tgi_batch_inference_duration histogram
tgi_batch_inference_duration_sum{method="prefill"} 2.5
tgi_batch_inference_duration_sum{method="decode"} 11.5
tgi_batch_inference_duration_count{method="decode"} 960
# TYPE tgi_request_input_length histogram
tgi_request_input_length_sum 22000
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_sum 8000
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 4
"""
LLAMACPP = """# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 700
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 900
# TYPE llamacpp:n_decode_total counter
llamacpp:n_decode_total 450
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
"""


@pytest.mark.parametrize(
    ("engine", "text", "expected"),
    [
        ("vllm", VLLM, Counted(at_s=1, steps=5000, prompt=100_000, generated=45_000, running=12, kv=80_000,
                               preempted=3)),
        ("sglang", SGLANG, Counted(at_s=1, steps=None, prompt=8_000, generated=4_000, running=8, kv=5_000)),
        ("tgi", TGI, Counted(at_s=1, steps=1_000, prompt=22_000, generated=8_000, running=4, busy_s=14)),
        ("llamacpp", LLAMACPP, Counted(at_s=1, steps=450, prompt=700, generated=900, running=2)),
    ],
)  # fmt: skip
def test_each_engines_counters(engine, text, expected):
    """As the engine writes them: cached prompt tokens taken out, labels added up."""
    assert counted(engine, text, at_s=1) == expected


@pytest.mark.parametrize(
    ("engine", "text", "said"),
    [
        ("vllm", LLAMACPP, "check `engine` in pools.yaml"),
        ("vllm", "<html>not found</html>", "check that the URL ends in /metrics"),
        ("ollama", VLLM, "serve the model by llama.cpp's own server"),
        ("tgi", "", "does not count `tgi_batch_inference_count`"),
    ],
)
def test_what_is_not_there_is_said(engine, text, said):
    """Another engine, no metrics, an engine that counts nothing: why, and the fix."""
    with pytest.raises(NoMetrics, match=said):
        counted(engine, text, at_s=1)


BEFORE = Counted(at_s=10, steps=100, prompt=1_000, generated=500, running=5, kv=1_000)
AFTER = Counted(at_s=11, steps=180, prompt=1_400, generated=900, running=5, kv=3_000)


def test_an_interval_is_the_difference():
    """Seconds, steps, tokens, and the KV that each step read."""
    found = interval(BEFORE, AFTER)
    assert (found.busy_s, found.steps, found.prompt, found.generated, found.kv) == (1, 80, 400, 400, 160_000)


@pytest.mark.parametrize(
    "after",
    [
        replace(AFTER, steps=3, prompt=0, generated=0),  # restarted
        replace(AFTER, generated=499),
        replace(AFTER, running=0),  # idle at its end
        replace(AFTER, steps=100),  # no step
        replace(AFTER, at_s=10),
    ],
)
def test_an_uncertain_interval_says_nothing(after):
    """A restart of the engine, or an interval in which it was idle, is left out."""
    assert interval(BEFORE, after) is None
    assert intervals([BEFORE, after, replace(AFTER, at_s=12)]) is not None


def test_an_engine_that_tells_its_busy_time_is_believed():
    """TGI's seconds count, also when it was idle at the ends."""
    before = Counted(at_s=1, steps=10, prompt=5, generated=5, running=0, busy_s=3.0)
    found = interval(before, replace(before, at_s=9, steps=30, generated=65, busy_s=3.5))
    assert (found.busy_s, found.steps, found.kv) == (0.5, 20, None)


def test_without_a_step_counter_steps_are_estimated():
    """SGLang: output tokens over requests at once."""
    before = Counted(at_s=1, steps=None, prompt=0, generated=0, running=8)
    assert interval(before, replace(before, at_s=2, generated=400)).steps == 50


class Engine(http.server.BaseHTTPRequestHandler):
    """An engine's metrics endpoint: steps rise by 100 with every reading."""

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status, body = self.server.replies(len(self.server.asked))
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def engine():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    server.asked = []
    server.replies = lambda n: (
        200,
        VLLM.replace(
            'count{engine="0",model_name="llama"} 5000', f'count{{engine="0"}} {5000 + 100 * n}'
        ).encode(),
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def reached(server, **changes):
    """A pool whose replica is that server."""
    of = pool()
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    return replace(of, replicas=(replace(of.replicas[0], metrics_url=url, **changes),))


@pytest.fixture
async def engines():
    transport = Transport()
    yield Engines(transport, time.monotonic)
    await transport.close()


async def test_a_replica_is_asked_through_the_guarded_transport(engine, engines):
    """Its counters come back; nothing but a GET of that URL went there, with no key."""
    of = reached(engine)
    found = await engines.ask(of, of.replicas[0])
    assert found.steps == 5_100
    ((path, headers),) = engine.asked
    assert path == "/metrics"
    assert not {"authorization", "cookie", "x-api-key"} & {name.lower() for name in headers}


async def test_plain_http_beyond_this_machine_is_not_spoken_undeclared(engines):
    """The guard stops it before a socket opens (promise 1)."""
    of = pool()
    far = replace(of.replicas[0], metrics_url="http://gpu-1.example.com:8000/metrics")
    with pytest.raises(NoMetrics, match="EgressRefused"):
        await engines.ask(of, far)


async def test_a_redirect_is_not_followed(engine, engines):
    """Another destination is another egress."""
    engine.replies = lambda _: (302, b"")
    of = reached(engine)
    with pytest.raises(NoMetrics, match="answers 302"):
        await engines.ask(of, of.replicas[0])
    assert len(engine.asked) == 1


async def test_watching_keeps_what_answers(engine, engines):
    """One replica of two is down: told each time, the other one is read on."""
    of = reached(engine)
    gone = replace(of.replicas[0], name="gone", metrics_url="http://127.0.0.1:9/metrics")
    both = replace(of, replicas=(*of.replicas, gone))
    told: list[str] = []
    found = await engines.watch(both, seconds=0.2, every_s=0.02, tell=told.append)
    assert len(found["r0"]) >= 2
    assert found["gone"] == []
    assert all("replica `gone` of pool `llama-ca` does not answer" in text for text in told)
    with pytest.raises(NoMetrics, match="does not answer"):
        await engines.watch(replace(of, replicas=(gone,)), seconds=0, every_s=0, tell=told.append)
    with pytest.raises(NoMetrics, match="has a `metrics_url`"):
        await engines.watch(pool(), seconds=0, every_s=0, tell=told.append)
