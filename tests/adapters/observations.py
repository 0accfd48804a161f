"""Observations for the tests of telemetry."""

from __future__ import annotations

from gateway.core.values import Usage
from gateway.ports import Observation


def observation(**changes):
    """Return the observation of a served call."""
    usual = {
        "surface": "chat", "app": "teller", "team": "branch", "alias": "chat", "provider": "microsoft",
        "place": "CA-QC", "outcome": "served", "stream": True, "started": 1_700_000_000_000_000_000,
        "duration_s": 0.5, "first_chunk_s": 0.1,
        "usage": Usage(input=30, cache_read=10, output=7, reasoning=2),
        "attempts": 1, "masked": 1, "vendor_model": "gpt-41-mini", "request_id": "req_1", "trace": {},
    }  # fmt: skip
    return Observation(**(usual | changes))
