"""A small bank by hand: one snapshot with prices, a rate and budgets, for tests about money."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gateway.core.decide import Decision
from gateway.core.snapshot import App, BudgetLimit, Connection, Deployment, Price, Rate, Snapshot
from gateway.core.values import (
    Attempt,
    Call,
    Caller,
    ClearedCall,
    Hold,
    LabelledCall,
    Surface,
    Want,
)


def at(text: str) -> int:
    """An instant from ISO 8601 text, UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9


NOW = at("2026-11-23T14:00:00")
CALLER = Caller(tenant="maple", team="branch", app="teller", key_id="k1")


def price(**changes: Any) -> Price:
    """The price sheet of deployment ``here``, USD per million tokens."""
    made = Price(
        id="here-2026-11",
        deployment="here",
        currency="USD",
        per=1_000_000,
        meters={
            "input": Decimal("0.44"),
            "cache_read": Decimal("0.11"),
            "cache_write_5m": Decimal("0.55"),
            "output": Decimal("1.76"),
        },
        valid_from=at("2026-11-01"),
        valid_to=None,
        free=False,
        source="contract",
        at="prices/here.yaml:1",
    )
    return replace(made, **changes)


def limit(level: str, name: str, unit: str, amount: int, per: str = "month") -> BudgetLimit:
    """A budget at one level."""
    return BudgetLimit(
        id=f"{level}:{name}:{unit}" if per == "month" else f"{level}:{name}:{unit}:{per}",
        level=level,
        name=name,
        unit=unit,
        limit=amount,
        per=per,
        timezone="America/Toronto",
        at="teams.yaml:1",
    )


def app(**changes: Any) -> App:
    """App ``teller`` of team ``branch``."""
    made = App(
        id="teller",
        team="branch",
        tenant="maple",
        data=("client",),
        models=("chat",),
        groups=frozenset(),
        purpose=None,
        cost_centres=(("2026-11-01", "4410"), ("2026-12-01", "4500")),
        budgets=(
            limit("org", "maple", "CAD", 10**12),
            limit("team", "branch", "CAD", 25 * 10**11),
            limit("app", "teller", "tokens", 10**9),
        ),
        key_budgets=(limit("key", "*", "CAD", 10**10, "day"),),
        at="teams.yaml:9",
    )
    return replace(made, **changes)


def snapshot(**changes: Any) -> Snapshot:
    """The bank's bundle, compiled by hand. Rules are not looked at by money."""
    rules: Any = None
    made: dict[str, Any] = {
        "hash": "a" * 64,
        "policy_name": "maple-bank",
        "policy_version": 7,
        "facts_hash": "b" * 64,
        "prices_hash": "c" * 64,
        "tenant": "maple",
        "timezone": "America/Toronto",
        "currency": "CAD",
        "deployments": {},
        "connections": {},
        "routes": {},
        "apps": {"teller": app()},
        "prices": {"here": (price(),)},
        "rates": (
            Rate(
                base="USD",
                quote="CAD",
                rate=Decimal("1.3925"),
                valid_from=at("2026-11-01"),
                source="Bank of Canada",
            ),
        ),
        "rules": rules,
        "detectors_for": {},
    }
    return Snapshot(**{**made, **changes})


def want(amount: int, limit: int, budget: str = "team:branch:CAD", **changes: Any) -> Want:
    """An amount asked of one window."""
    made = Want(
        budget=budget,
        window="2026-11-01T04:00:00Z",
        resets=at("2036-12-01T05:00:00"),
        unit="CAD",
        limit=limit,
        amount=amount,
    )
    return replace(made, **changes)


def call(call_id: str = "req_1", **changes: Any) -> Call:
    """A chat call of the teller."""
    made = Call(
        id=call_id,
        surface=Surface.CHAT,
        caller=CALLER,
        model="chat",
        stream=False,
        body={},
        size=200,
        received=NOW,
    )
    return replace(made, **changes)


def deployment(**changes: Any) -> Deployment:
    """Deployment ``here``, in Canada."""
    made = Deployment(
        id="here",
        index=0,
        vendor="demo",
        operator="demo",
        parent_home=None,
        sku={},
        processed_in=frozenset({"CA-QC", "CA-ON"}),
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
        seen="",
        expires=at("2036-01-01"),
        max_output_tokens=4000,
        stops_billing_on_disconnect=False,
        abort_lag_tokens=None,
        media_caps={},
        at="",
    )
    return replace(made, **changes)


def attempt(
    attempt_id: str = "req_1.a1", wants: tuple[Want, ...] = (), *, number: int = 1, of: Call | None = None
) -> Attempt:
    """One try at ``here``, holding ``wants``."""
    made = of or call(attempt_id.partition(".")[0])
    labelled = LabelledCall(call=made, labels=(), findings=())
    decision = Decision(id="dec_1", permitted=("here",), candidates=("here",))
    return Attempt(
        id=attempt_id,
        number=number,
        cleared=ClearedCall(labelled=labelled, decision=decision, body={}, originals={}, masked={}),
        deployment=deployment(),
        connection=Connection(
            deployment="here",
            api="openai",
            url="http://127.0.0.1:1",
            model="model-7",
            secret=None,
            options={},
            surfaces=frozenset({"chat"}),
        ),
        hold=Hold(id=attempt_id, wants=wants),
        snapshot=snapshot(),
        output_cap=100,
        clamped=False,
        started=NOW,
        timeout_ms=60_000,
    )
