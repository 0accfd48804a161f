"""The cheap refusal: what is turned away before any work is done for it.

Concurrency and request rates of an app within this process; sizes are checked
where the body is read. State is a value that the pipeline keeps per app.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.errors import Code, Refusal
from gateway.core.snapshot import App

_MINUTE = 60_000_000_000


@dataclass(slots=True, kw_only=True)
class Load:
    """What one app has going on in this process. ``allowance`` counts requests × minute."""

    in_flight: int = 0
    allowance: float = -1.0
    seen: int = 0


def admit(app: App, load: Load, *, now: int) -> Refusal | None:
    """Admit one call, or say why not. Spends one request of the app's rate.

    The rate is a token bucket that holds one minute's worth of requests.
    """
    if app.concurrent is not None and load.in_flight >= app.concurrent:
        return Refusal(
            code=Code.RATE_LIMITED,
            message=f"App '{app.id}' has {load.in_flight} calls in flight, its limit. "
            "Wait for one to end, or ask the platform team to raise `concurrent`.",
            extension={"scope": f"app {app.id}", "limit": app.concurrent, "unit": "concurrent"},
            retry_after=1,
        )
    rate = app.requests_per_minute
    if rate is None:
        return None
    if load.allowance < 0:
        load.allowance = float(rate)
    else:
        earned = (now - load.seen) * rate / _MINUTE
        load.allowance = min(float(rate), load.allowance + max(0.0, earned))
    load.seen = now
    if load.allowance < 1.0:
        wait = max(1, round((1.0 - load.allowance) * 60 / rate))
        return Refusal(
            code=Code.RATE_LIMITED,
            message=f"App '{app.id}' may make {rate} requests a minute. Retry in {wait} s.",
            extension={"scope": f"app {app.id}", "limit": rate, "unit": "requests per minute"},
            retry_after=wait,
        )
    load.allowance -= 1.0
    return None
