"""Reads the counters of engines: what a calibration is made of.

A metrics URL stands in ``pools.yaml`` and is an egress destination like any other: it is asked through
the guarded transport, under a permit for that origin alone. What comes back is counters, no content.

=========  =====================================  =========================================
engine     steps                                  what else it tells
=========  =====================================  =========================================
vLLM       ``iteration_tokens_total_count``       cached prompt tokens, KV use, preemptions
SGLang     output tokens ÷ running requests       cached prompt tokens, KV use
TGI        ``tgi_batch_inference_count``          its own busy seconds; tokens when a call ends
llama.cpp  ``n_decode_total``                     no KV use since 2025
Ollama     no counters: shipped defaults, marked  –
=========  =====================================  =========================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.adapters.gpu_fit import Interval
from gateway.adapters.guard import EgressRefused, permit_declared
from gateway.adapters.telemetry_prometheus import Sample as Metric
from gateway.adapters.telemetry_prometheus import read_text
from gateway.adapters.transport import Outgoing, Transport, TransportFailed
from gateway.core.gpu_pools import Engine, Pool, Replica

PURPOSE = "engine_metrics"
MOST_BYTES = 16 * 1024 * 1024
_OK = 200


class NoMetrics(Exception):
    """An engine's counters cannot be read; the text says why and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """An engine's counters at one instant. ``None``: the engine does not tell."""

    at_s: float
    steps: float | None
    prompt: float  # uncached prompt tokens
    generated: float
    running: float
    kv: float | None = None  # tokens whose keys and values are held
    busy_s: float | None = None
    preempted: float = 0.0


class _Metrics:
    """The samples of one reply, by name."""

    def __init__(self, text: str) -> None:
        self._found: dict[str, list[Metric]] = {}
        try:
            for sample in read_text(text):
                self._found.setdefault(sample.name, []).append(sample)
        except ValueError:
            raise NoMetrics("the reply is no Prometheus text: check that the URL ends in /metrics") from None

    def sum(self, *names: str) -> float | None:
        """The sum over all labels of the first of the names that is there."""
        for name in names:
            if name in self._found:
                return sum(sample.value for sample in self._found[name])
        return None

    def need(self, *names: str) -> float:
        found = self.sum(*names)
        if found is None:
            raise NoMetrics(
                f"the engine does not count `{names[0]}`: check `engine` in pools.yaml, or update it"
            )
        return found

    def labels(self, name: str) -> Mapping[str, str]:
        samples = self._found.get(name, [])
        return samples[0].labels if samples else {}


def counted(engine: Engine, text: str, *, at_s: float) -> Counted:
    """Read the counters of one engine. Raises NoMetrics."""
    match engine:
        case "vllm":
            return _vllm(_Metrics(text), at_s)
        case "sglang":
            return _sglang(_Metrics(text), at_s)
        case "tgi":
            return _tgi(_Metrics(text), at_s)
        case "llamacpp":
            return _llamacpp(_Metrics(text), at_s)
        case "ollama":
            raise NoMetrics(
                "Ollama has no counters to calibrate from: its pool is split by the shipped defaults and "
                "marked; serve the model by llama.cpp's own server to calibrate"
            )


def _vllm(m: _Metrics, at_s: float) -> Counted:
    cached = m.sum(
        "vllm:prompt_tokens_cached_total", "vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"
    )
    usage = m.sum("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
    config = m.labels("vllm:cache_config_info")
    room = _number(config.get("kv_cache_size_tokens"))
    if room is None:
        blocks, size = _number(config.get("num_gpu_blocks")), _number(config.get("block_size"))
        room = None if blocks is None or size is None else blocks * size
    return Counted(
        at_s=at_s,
        steps=m.need("vllm:iteration_tokens_total_count"),
        prompt=max(0.0, m.need("vllm:prompt_tokens_total") - (cached or 0.0)),
        generated=m.need("vllm:generation_tokens_total"),
        running=m.need("vllm:num_requests_running"),
        kv=None if usage is None or room is None else usage * room,
        preempted=m.sum("vllm:num_preemptions_total") or 0.0,
    )


def _sglang(m: _Metrics, at_s: float) -> Counted:
    cached = m.sum("sglang:cached_tokens_total") or 0.0
    return Counted(
        at_s=at_s,
        steps=None,
        prompt=max(0.0, m.need("sglang:prompt_tokens_total") - cached),
        generated=m.need("sglang:generation_tokens_total"),
        running=m.need("sglang:num_running_reqs"),
        kv=m.sum("sglang:num_used_tokens"),
    )


def _tgi(m: _Metrics, at_s: float) -> Counted:
    return Counted(
        at_s=at_s,
        steps=m.need("tgi_batch_inference_count", "tgi_batch_inference_count_total"),
        prompt=m.need("tgi_request_input_length_sum"),
        generated=m.need("tgi_request_generated_tokens_sum"),
        running=m.need("tgi_batch_current_size"),
        busy_s=m.need("tgi_batch_inference_duration_sum"),
    )


def _llamacpp(m: _Metrics, at_s: float) -> Counted:
    return Counted(
        at_s=at_s,
        steps=m.need("llamacpp:n_decode_total"),
        prompt=m.need("llamacpp:prompt_tokens_total"),
        generated=m.need("llamacpp:tokens_predicted_total"),
        running=m.need("llamacpp:requests_processing"),
        kv=m.sum("llamacpp:kv_cache_tokens"),
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def interval(before: Counted, after: Counted) -> Interval | None:
    """Return what an engine did between two readings, or None where it says nothing certain.

    A counter that fell was reset: the engine was restarted. An interval counts only if the engine had
    something to do at both its ends and made steps, unless it tells its busy time itself.
    """
    pairs = [
        (before.steps, after.steps),
        (before.prompt, after.prompt),
        (before.generated, after.generated),
        (before.busy_s, after.busy_s),
    ]
    if any(b is not None and a is not None and a < b for b, a in pairs) or after.at_s <= before.at_s:
        return None
    prompt, generated = after.prompt - before.prompt, after.generated - before.generated
    busy = after.at_s - before.at_s
    if before.busy_s is not None and after.busy_s is not None:
        busy = after.busy_s - before.busy_s
    elif not (before.running and after.running):
        return None
    running = (before.running + after.running) / 2
    steps = (
        after.steps - before.steps
        if before.steps is not None and after.steps is not None
        else (generated / running if running else 0.0)
    )
    if steps <= 0 or busy <= 0:
        return None
    kv = None if before.kv is None or after.kv is None else (before.kv + after.kv) / 2 * steps
    return Interval(busy_s=busy, steps=steps, prompt=prompt, generated=generated, kv=kv)


def intervals(readings: Sequence[Counted]) -> list[Interval]:
    """Return the certain intervals of one engine's readings, in order."""
    found = (interval(a, b) for a, b in pairwise(readings))
    return [one for one in found if one is not None]


class Engines:
    """Asks the replicas of a pool, through the guarded transport."""

    def __init__(self, transport: Transport, now_s: Callable[[], float]) -> None:
        """``now_s`` is a clock that does not jump."""
        self._transport = transport
        self._now_s = now_s

    async def ask(self, pool: Pool, replica: Replica) -> Counted:
        """Read one replica's counters. Raises NoMetrics."""
        where = f"replica `{replica.name}` of pool `{pool.id}`"
        url = replica.metrics_url
        if url is None:
            raise NoMetrics(f"{where} has no `metrics_url` ({pool.at})")
        outgoing = Outgoing(
            method="GET",
            url=url,
            headers={"accept": "text/plain"},
            body=b"",
            first_byte_timeout_ms=5_000,
            idle_timeout_ms=5_000,
            max_bytes=MOST_BYTES,
        )
        try:
            permit = permit_declared(url, purpose=PURPOSE, plain=replica.plain)
            async with self._transport.request(outgoing, permit) as incoming:
                status, body = incoming.status, await incoming.read()
        except (TransportFailed, EgressRefused, ValueError) as failed:
            raise NoMetrics(f"{where} does not answer ({type(failed).__name__}: {failed})") from None
        if status != _OK:
            raise NoMetrics(f"{where} answers {status}: check the URL, and that the engine serves metrics")
        try:
            return counted(pool.engine, body.decode(errors="replace"), at_s=self._now_s())
        except NoMetrics as why:
            raise NoMetrics(f"{where}: {why}") from None

    async def watch(
        self, pool: Pool, *, seconds: float, every_s: float, tell: Callable[[str], None]
    ) -> dict[str, list[Counted]]:
        """Read every replica that has a URL again and again; ``tell`` hears of readings that fail.

        Raises NoMetrics if the first reading of every replica fails.
        """
        asked = [replica for replica in pool.replicas if replica.metrics_url is not None]
        if not asked:
            raise NoMetrics(f"no replica of pool `{pool.id}` has a `metrics_url` ({pool.at})")
        found: dict[str, list[Counted]] = {replica.name: [] for replica in asked}
        until = self._now_s() + seconds
        first = True
        while first or self._now_s() < until:
            answers = await asyncio.gather(
                *(self.ask(pool, replica) for replica in asked), return_exceptions=True
            )
            failures: list[NoMetrics] = []
            for replica, answer in zip(asked, answers, strict=True):
                if isinstance(answer, NoMetrics):
                    failures.append(answer)
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    found[replica.name].append(answer)
            if first and len(failures) == len(asked):
                raise failures[0]
            for failure in failures:
                tell(str(failure))
            first = False
            await asyncio.sleep(every_s)
        return found
