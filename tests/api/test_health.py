"""The endpoints for machines: alive, ready, measured, and honest about each control."""

from __future__ import annotations

import orjson

from gateway.api.health import Health, Lifecycle
from gateway.api.status import Control, Report


def health(lifecycle=None, checks=None, status=()):
    return Health(
        lifecycle or Lifecycle(),
        checks=checks or {},
        metrics=lambda: (b"calls 1\n", "text/plain; version=0.0.4"),
        status=status,
    )


async def ask(app, path):
    """Ask an endpoint as the server would; returns (status, headers, body)."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.disconnect"}

    await app.routes[path]({"type": "http", "path": path}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_alive_as_long_as_the_loop_turns():
    """/healthz does not look at anything that can be away: a restart would not bring it back."""
    status, _, _ = await ask(health(checks={"journal": lambda: "full"}), "/healthz")
    assert status == 200


async def test_ready_when_every_check_passes():
    """200 only if no check objects."""
    status, headers, body = await ask(health(checks={"journal": lambda: None}), "/readyz")
    assert (status, orjson.loads(body)) == (200, {"status": "ready"})
    assert headers[b"content-length"] == str(len(body)).encode()


async def test_not_ready_says_what_is_missing():
    """503 names the failing check and its reason, and only that one."""
    checks = {"journal": lambda: "cannot be written", "policy": lambda: None}
    status, _, body = await ask(health(checks=checks), "/readyz")
    assert status == 503
    assert orjson.loads(body)["failing"] == {"journal": "cannot be written"}


async def test_not_ready_while_draining():
    """From SIGTERM on a load balancer is told to look elsewhere."""
    lifecycle = Lifecycle()
    app = health(lifecycle)
    assert (await ask(app, "/readyz"))[0] == 200
    lifecycle.draining = True
    status, _, body = await ask(app, "/readyz")
    assert status == 503
    assert "draining" in orjson.loads(body)["failing"]


async def test_metrics_are_passed_on():
    """/metrics answers what the telemetry renders, with its content type."""
    status, headers, body = await ask(health(), "/metrics")
    assert (status, body) == (200, b"calls 1\n")
    assert headers[b"content-type"].startswith(b"text/plain")


async def test_status_shows_every_report():
    """/status carries the controls and each room's facts."""
    report = Report(
        name="budgets",
        controls=(Control(name="budgets", mode="degraded", on_failure="refuse", why="database away"),),
        facts={"slices_last_s": {"team:branch:CAD": 40}},
    )
    _, _, body = await ask(health(status=[lambda: report]), "/status")
    shown = orjson.loads(body)
    assert shown["controls"] == [
        {"name": "budgets", "mode": "degraded", "on_failure": "refuse", "why": "database away"}
    ]
    assert shown["budgets"]["slices_last_s"] == {"team:branch:CAD": 40}
    assert shown["draining"] is False


def test_a_reload_reaches_everyone_who_asked():
    """SIGHUP is handed to each that registered, in order."""
    lifecycle = Lifecycle()
    heard = []
    lifecycle.on_reload(lambda: heard.append("policy"))
    lifecycle.on_reload(lambda: heard.append("secrets"))
    lifecycle.reload()
    assert heard == ["policy", "secrets"]
