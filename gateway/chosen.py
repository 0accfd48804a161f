"""The parts that the settings choose: which detectors run, where spans and metrics go, where logs are kept.

Each function makes a part, or none; :mod:`gateway.app` wires what it gets.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from gateway.adapters.children import Confinement
from gateway.adapters.detectors.injection import InjectionClassifier, InjectionDetector
from gateway.adapters.detectors.inline import InlineDetector
from gateway.adapters.detectors.layered import LayeredDetector
from gateway.adapters.detectors.presidio import PresidioPool
from gateway.adapters.detectors.tuning import TunedDetector, load_tuning
from gateway.adapters.guard import permit_declared
from gateway.adapters.telemetry_prometheus import metrics_dir
from gateway.adapters.transport import Outgoing, Transport
from gateway.policy.sinks import sinks
from gateway.ports import Detector, Telemetry
from gateway.settings import UNKNOWN_PLACE, Settings


def log_places(settings: Settings) -> frozenset[str]:
    """Return where this process keeps what it writes of a call: every sink of it, see ``policy/sinks.py``."""
    return frozenset(sink.place or UNKNOWN_PLACE for sink in sinks(settings) if sink.logs)


def metrics_folder(settings: Settings) -> Path | None:
    """Return where workers share their metrics, or None for a lone worker."""
    return metrics_dir(settings.run_dir) if settings.workers > 1 else None


def detector_of(settings: Settings, tenant: str, transport: Transport, pool: PresidioPool | None) -> Detector:
    """Return all detectors as one, tuned where a tuning is given."""
    detector: Detector = LayeredDetector(
        *_inline(settings, tenant), *_injection(settings, transport), *([pool] if pool else [])
    )
    if settings.detectors.tuning is not None:
        detector = TunedDetector(detector, load_tuning(settings.detectors.tuning))
    return detector


def _inline(settings: Settings, tenant: str) -> list[Detector]:
    return [InlineDetector(tenant=tenant)] if settings.detectors.mode != "off" else []


def _injection(settings: Settings, transport: Transport) -> list[Detector]:
    """Return what reads prompts for injection: the heuristic, with a classifier where one is declared."""
    url = settings.detectors.injection_url
    if url is None:
        return [InjectionDetector()] if settings.detectors.mode != "off" else []
    plain = url.startswith("http://")
    return [InjectionClassifier(transport, url, timeout_ms=settings.detectors.timeout_ms, plain=plain)]


async def pool_of(
    settings: Settings, tenant: str, confinement: Confinement, stack: contextlib.AsyncExitStack
) -> PresidioPool | None:
    """Start the pool of named-entity recognisers, if the settings ask for it."""
    if settings.detectors.mode != "presidio":
        return None
    pool = PresidioPool(
        processes=settings.detectors.processes,
        timeout_ms=settings.detectors.timeout_ms,
        tenant=tenant,
        confinement=confinement,
        models=settings.detectors.models,
    )
    await pool.start()
    stack.push_async_callback(pool.close)
    return pool


def spans_of(
    settings: Settings, transport: Transport, worker: str, stack: contextlib.AsyncExitStack
) -> list[Telemetry]:
    """Export spans where an endpoint is declared, through our own transport."""
    endpoint = settings.telemetry.otlp_endpoint
    if endpoint is None:
        return []
    from gateway.adapters.telemetry_otel import OtelTelemetry, over_loop  # noqa: PLC0415 (slow to import)

    permit = permit_declared(endpoint, purpose="telemetry", plain=endpoint.startswith("http://"))

    async def post(path: str, body: bytes) -> bool:
        outgoing = Outgoing(
            method="POST",
            url=endpoint.rstrip("/") + path,
            headers={"content-type": "application/x-protobuf"},
            body=body,
        )
        async with transport.request(outgoing, permit) as incoming:
            return 200 <= incoming.status < 300

    otel = OtelTelemetry(
        send=over_loop(asyncio.get_running_loop(), post),
        sampling=settings.telemetry.sampling,
        place=settings.place,
        worker=worker,
        metrics=settings.telemetry.otlp_metrics,
        interval_s=settings.telemetry.otlp_interval_s,
    )

    async def close() -> None:
        await asyncio.to_thread(otel.close)

    stack.push_async_callback(close)
    return [otel]
