"""Attempts made by hand, for tests of upstreams: one call, one deployment, one connection.

The spine makes attempts in ``core.clear`` only; a test of what comes after may make its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.core.decide import Decision
from gateway.core.snapshot import Connection, Deployment, Snapshot
from gateway.core.values import Attempt, Call, Caller, ClearedCall, Hold, LabelledCall, Surface

SURFACES = frozenset({"chat", "embeddings", "responses", "messages"})


def connection(url: str, **changes: Any) -> Connection:
    """A connection of deployment ``here`` to an OpenAI-compatible vendor without a secret."""
    made = Connection(
        deployment="here",
        api="openai",
        url=url,
        model="vendor-model-7",
        secret=None,
        options={},
        surfaces=frozenset(),
    )
    return replace(made, **changes)


def attempt(
    to: Connection,
    body: dict[str, object],
    *,
    surface: Surface = Surface.CHAT,
    output_cap: int = 100,
    permitted: tuple[str, ...] = ("here",),
    forward_headers: dict[str, str] | None = None,
    timeout_ms: int = 60_000,
) -> Attempt:
    """An attempt that says ``body`` to a connection."""
    call = Call(
        id="req_test_1",
        surface=surface,
        caller=Caller(tenant="maple", team="branch", app="teller", key_id="k1"),
        model="chat",
        stream=body.get("stream") is True,
        body=body,
        size=200,
        received=0,
        forward_headers=forward_headers or {},
    )
    labelled = LabelledCall(call=call, labels=(), findings=())
    decision = Decision(id="dec_1", permitted=permitted, candidates=permitted)
    cleared = ClearedCall(labelled=labelled, decision=decision, body=body, originals={}, masked={})
    snapshot: Any = Snapshot.__new__(Snapshot)  # only its connections are looked at here
    object.__setattr__(snapshot, "connections", {to.deployment: to})
    return Attempt(
        id="req_test_1#1",
        number=1,
        cleared=cleared,
        deployment=_deployment(to.deployment),
        connection=to,
        hold=Hold(id="req_test_1#1", wants=()),
        snapshot=snapshot,
        output_cap=output_cap,
        clamped=False,
        started=0,
        timeout_ms=timeout_ms,
    )


def _deployment(name: str) -> Deployment:
    return Deployment(
        id=name,
        index=0,
        vendor="fake",
        operator="fake",
        parent_home=None,
        sku={},
        processed_in=frozenset({"CA-QC"}),
        stored_in=None,
        vendor_logs_in=None,
        staff_access_from=None,
        tls_ends_in=None,
        keeps_content_days=None,
        trains_on_data=None,
        human_review=None,
        uses=frozenset(),
        has={},
        covers=frozenset(),
        facts={},
        seen="2026-11-01",
        expires=2**62,
        max_output_tokens=1000,
        stops_billing_on_disconnect=False,
        abort_lag_tokens=None,
        media_caps={},
        at="deployments.yaml:1",
    )
