"""The parts that the settings choose: each setting brings its part, and without it there is none."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.children import UNCONFINED
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.telemetry_otel import OtelTelemetry
from gateway.adapters.transport import Transport
from gateway.chosen import detector_of, log_places, metrics_folder, pool_of, spans_of
from gateway.core import injection
from gateway.settings import UNKNOWN_PLACE, Settings

TENANT = "maple-bank"


def chosen(**settings: str) -> Settings:
    """Settings as a process reads them."""
    return Settings.load(None, {f"BORDERPOST_{name.upper()}": value for name, value in settings.items()})


@pytest.fixture
async def transport() -> Any:
    made = Transport(telemetry=MemoryTelemetry())
    yield made
    await made.close()


def test_logs_are_where_the_settings_say() -> None:
    """Every place that a sink declares; a process that does not say where it is is nowhere known."""
    assert log_places(chosen(place="CA-QC")) == {"CA-QC"}
    assert log_places(chosen(place="CA-QC", database_place="US")) == {"CA-QC", "US"}
    assert log_places(chosen()) == {UNKNOWN_PLACE}


def test_only_several_workers_share_their_metrics(tmp_path: Path) -> None:
    """A lone worker needs no folder; several have theirs below where they run."""
    assert metrics_folder(chosen(data_dir=str(tmp_path), workers="1")) is None
    found = metrics_folder(chosen(data_dir=str(tmp_path), workers="2"))
    assert found is not None
    assert tmp_path in found.parents


async def test_detectors_are_those_that_the_mode_names(transport: Transport) -> None:
    """Off finds nothing, so that rules that need a kind refuse start-up; inline finds the fixed forms."""
    inline = detector_of(chosen(detectors_mode="inline"), TENANT, transport, None)
    off = detector_of(chosen(detectors_mode="off"), TENANT, transport, None)
    assert off.kinds == frozenset()
    assert {"card", "iban"} | injection.KINDS <= inline.kinds


async def test_a_classifier_is_asked_even_where_the_others_are_off(transport: Transport) -> None:
    """It is declared by its address, and only it finds what it is for then."""
    settings = chosen(
        place="CA",
        detectors_mode="off",
        detectors_injection_url="http://127.0.0.1:9",
        detectors_injection_place="CA",
    )
    assert detector_of(settings, TENANT, transport, None).kinds == injection.KINDS


@pytest.mark.parametrize("mode", ["off", "inline"])
async def test_no_process_is_started_for_other_modes(mode: str) -> None:
    """Presidio's processes cost memory: only its own mode starts them."""
    async with contextlib.AsyncExitStack() as stack:
        assert await pool_of(chosen(detectors_mode=mode), TENANT, UNCONFINED, stack) is None


async def test_spans_go_out_where_a_collector_is_declared(transport: Transport) -> None:
    """And nowhere without one; the exporter is closed with the worker."""
    async with contextlib.AsyncExitStack() as stack:
        assert spans_of(chosen(), transport, "w", stack) == []
        declared = chosen(telemetry_otlp_endpoint="http://127.0.0.1:9", telemetry_otlp_place="CA")
        [exporter] = spans_of(declared, transport, "w", stack)
        assert isinstance(exporter, OtelTelemetry)
