"""Journal entries: their shapes, built here and nowhere else.

The spine calls these builders; :mod:`gateway.core.fold` reads entries back into
rows. Entries hold no content, keys or personal data. Instants are integers of
microseconds; amounts of money and tokens in holds and spends are decimal strings.

A plain served call writes two entries: ``attempt.intent`` before the first byte goes
upstream and ``call.record`` after, which carries the outcome of its last try.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

from gateway.core.budget import Settlement
from gateway.core.errors import Refusal
from gateway.core.prices import convert
from gateway.core.snapshot import Snapshot
from gateway.core.units import RATE
from gateway.core.values import Attempt, Call, Charge, Hold, Usage

VERSION = 1
Data = dict[str, object]

BUILT = frozenset({"attempt.intent", "attempt.top_up", "attempt.outcome", "call.record"})
"""Kinds whose entries only the builders here make. INVARIANT: a builder writes strings, integers,
booleans and null, never a float, so that a journal need not look at each value again."""

BUCKETS = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning",
    "input_audio", "output_audio", "input_image",
)  # fmt: skip
"""Token buckets as in :class:`~gateway.core.values.Usage`, in the order of the ledger."""


class Entry(NamedTuple):
    """One journal entry as read back. ``t`` in microseconds."""

    writer: str
    seq: int
    t: int
    kind: str
    data: Data
    prev: str


# -------------------------------------------------------------------- builders


def micros(nanoseconds: int) -> int:
    """Return an instant of nanoseconds as the journal's microseconds."""
    return nanoseconds // 1000


_QUARTER_HOUR = 900 * 1_000_000_000


def cost_centre(snapshot: Snapshot, app_id: str, at: int) -> str | None:
    """Return the cost centre in force at the instant, by local date of the organisation."""
    app = snapshot.apps.get(app_id)
    if app is None or not app.cost_centres:
        return None
    # Local days begin at whole quarter hours of UTC, so one look at the calendar serves many calls.
    quarter = at // _QUARTER_HOUR
    known = snapshot.memo.get(("cost_centre", app_id))
    if isinstance(known, _Centre) and known.quarter == quarter:
        return known.code
    today = datetime.fromtimestamp(at // 1_000_000_000, ZoneInfo(snapshot.timezone)).strftime("%Y-%m-%d")
    found: tuple[str, str] | None = None
    for dated in app.cost_centres:
        if dated[0] <= today and (found is None or found[0] <= dated[0]):
            found = dated
    code = found[1] if found else None
    snapshot.memo["cost_centre", app_id] = _Centre(quarter=quarter, code=code)
    return code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Centre:
    """The cost centre of an app within one quarter of an hour."""

    quarter: int
    code: str | None


def intent(attempt: Attempt, *, bound: Charge | None) -> Data:
    """Build ``attempt.intent``: written before the first byte goes upstream."""
    call = attempt.cleared.labelled.call
    caller = call.caller
    deployment = attempt.deployment
    return {
        "call": call.id,
        "attempt": attempt.id,
        "number": attempt.number,
        "tenant": caller.tenant,
        "team": caller.team,
        "app": caller.app,
        "key": caller.key_id,
        "cost_centre": cost_centre(attempt.snapshot, caller.app, attempt.started),
        "alias": attempt.snapshot.aliases.get(call.model, call.model),
        "asked": call.instead_of or call.model,
        "stream": call.stream,
        "received": micros(call.received),
        "deployment": deployment.id,
        "vendor": deployment.vendor,
        "place": sorted(deployment.processed_in or ()),
        "model": attempt.connection.model,
        "surface": call.surface.value,
        "snapshot": attempt.snapshot.hash,
        "started": micros(attempt.started),
        "output_cap": attempt.output_cap,
        "bound": _charge(bound),
        "spend": _spend(attempt.snapshot, bound, attempt.started, ceiling=True),
        "holds": _holds(attempt.hold),
    }


def top_up(attempt: Attempt, hold: Hold, *, bound: Charge | None) -> Data:
    """Build ``attempt.top_up``: the whole enlarged hold, written before it is used.

    Without it a crash after a top-up would book the first hold, below the meter.
    """
    return {
        "call": attempt.cleared.labelled.call.id,
        "attempt": attempt.id,
        "bound": _charge(bound),
        "spend": _spend(attempt.snapshot, bound, attempt.started, ceiling=True),
        "holds": _holds(hold),
    }


def outcome(
    attempt: Attempt,
    *,
    status: str,
    code: str | None,
    usage: Usage | None,
    settled: Settlement,
    vendor_id: str | None,
    vendor_model: str | None,
    reported_place: str | None,
    ended: int,
    place_mismatch: bool = False,
    overdraft: Mapping[str, int] | None = None,
    first: int | None = None,
) -> Data:
    """Build ``attempt.outcome``, also the ``attempt`` of a ``call.record``.

    ``status`` is served, failed, abandoned or cut. ``settled`` is from
    :func:`gateway.core.budget.settlement`, or :func:`nothing_spent` for a try that
    never reached the vendor.
    """
    return {
        "call": attempt.cleared.labelled.call.id,
        "attempt": attempt.id,
        "status": status,
        "code": code,
        "usage": None if usage is None else _usage(usage),
        "charge": _charge(settled.charge, told=True),
        "spend": _spend(attempt.snapshot, settled.charge, attempt.started, ceiling=False),
        "spends": {
            budget: str(amount) for budget, amount in settled.spends.items() if not budget.startswith(RATE)
        },
        "estimated": settled.estimated,
        "overrun": settled.overrun,
        "vendor_id": vendor_id,
        "vendor_model": vendor_model,
        "reported_place": reported_place,
        "place_mismatch": place_mismatch,
        **({"overdraft": {name: str(n) for name, n in overdraft.items()}} if overdraft else {}),
        **({} if first is None else {"first": micros(first)}),  # of a stream: when its first chunk came
        "ended": micros(ended),
    }


def nothing_spent(hold: Hold, *, currency: str | None = None) -> Settlement:
    """Return the settlement of a try of which no byte reached the vendor: zero, known."""
    charge = None if currency is None else Charge(nano=0, currency=currency, lines=())
    return Settlement(
        charge=charge, spends={want.budget: 0 for want in hold.wants}, estimated=False, overrun=False
    )


def call_record(
    call: Call,
    *,
    alias: str | None,
    ended: int,
    outcome: str,
    status: int,
    decision: str | None,
    rules: Sequence[str],
    labels: Iterable[tuple[str, str]],
    masked: Mapping[str, int],
    masked_reply: Mapping[str, int],
    attempts: int,
    snapshot: str,
    attempt: Data | None,
    warnings: Sequence[str] = (),
    reported: Mapping[str, int] | None = None,
    degraded: Mapping[str, str | int] | None = None,
) -> Data:
    """Build ``call.record``: one per call, whatever happened.

    ``outcome`` is ``served`` or a code of ``core.errors``; ``labels`` are (name,
    set by); ``attempt`` is the outcome of the last try (not journalled apart).
    """
    caller = call.caller
    return {
        "call": call.id,
        "tenant": caller.tenant,
        "team": caller.team,
        "app": caller.app,
        "key": caller.key_id,
        "surface": call.surface.value,
        # A name that is no model's is the caller's own words: content, which no record holds.
        "asked": call.model if alias is not None else "",
        "alias": alias,
        "stream": call.stream,
        "received": micros(call.received),
        "ended": micros(ended),
        "outcome": outcome,
        "status": status,
        "decision": decision,
        "rules": list(rules),
        # Rules that only warn, or are in shadow, and would have refused what was permitted.
        "warnings": list(warnings),
        "labels": [{"name": name, "set_by": set_by} for name, set_by in labels],
        "features": sorted(call.features),
        "masked": dict(masked),
        "masked_reply": dict(masked_reply),
        **({"reported": dict(reported)} if reported else {}),  # found, and left as it was
        **({"degraded": dict(degraded)} if degraded else {}),  # what a ladder did before it was served
        "attempts": attempts,
        "snapshot": snapshot,
        "use": call.purpose,
        "attempt": attempt,
    }


def abandoned(writer: str, begun: Data, *, ended: int) -> Data:
    """Build the outcome that an adopter writes for an intent of a dead writer.

    Booked at its hold, estimated: the usage died with the process, and the ledger
    is never below the vendor's meter (promise 6).
    """
    holds = cast("list[dict[str, str]]", begun["holds"])
    return {
        "call": begun["call"],
        "attempt": begun["attempt"],
        "status": "abandoned",
        "code": "internal",
        "usage": None,
        "charge": begun.get("bound") and {**cast("Data", begun["bound"]), "at_most": True},
        "spend": begun.get("spend"),
        "spends": {hold["budget"]: hold["amount"] for hold in holds},
        "estimated": True,
        "overrun": False,
        "vendor_id": None,
        "vendor_model": None,
        "reported_place": None,
        "place_mismatch": False,
        "ended": micros(ended),
        "adopted_from": {"writer": writer, "intent": begun},
    }


def abandoned_record(begun: Data, last: Data | None, *, ended: int) -> Data:
    """Build the record of a call whose process died before it wrote one.

    Decision, rules and labels died with the process: they are null and empty, and
    the outcome says ``internal``.
    """
    return {
        "call": begun["call"],
        "tenant": begun["tenant"],
        "team": begun["team"],
        "app": begun["app"],
        "key": begun["key"],
        "surface": begun["surface"],
        "asked": begun.get("asked", begun["alias"]),
        "alias": begun["alias"],
        "stream": begun.get("stream", False),
        "received": begun.get("received", begun["started"]),
        "ended": micros(ended),
        "outcome": "internal",
        "status": 500,
        "decision": None,
        "rules": [],
        "labels": [],
        "features": [],
        "masked": {},
        "masked_reply": {},
        "attempts": begun["number"],
        "snapshot": begun["snapshot"],
        "use": None,
        "attempt": None,
        "deployment": begun["deployment"],
        "last_attempt": begun["attempt"] if last is None else last["attempt"],
    }


def _usage(usage: Usage) -> Data:
    """Return the buckets; what is rare is named only where it is there."""
    counted: Data = {name: getattr(usage, name) for name in BUCKETS}
    if usage.units:
        counted["units"] = dict(usage.units)
    if usage.tier:
        counted["tier"] = usage.tier
    if usage.place:
        counted["place"] = usage.place
    return counted


def _charge(charge: Charge | None, *, told: bool = False) -> Data | None:
    """Return a charge; ``told``: say that it is a bound, where that is not plain from the entry."""
    if charge is None:
        return None
    data: Data = {
        "nano": str(charge.nano),
        "currency": charge.currency,
        "lines": [
            {
                "meter": line.meter,
                "quantity": line.quantity,
                "price_id": line.price_id,
                "unit_price": line.unit_price,
                "per": line.per,
            }
            if line.list_unit_price is None
            else {
                "meter": line.meter,
                "quantity": line.quantity,
                "price_id": line.price_id,
                "unit_price": line.unit_price,
                "per": line.per,
                "list_unit_price": line.list_unit_price,
            }
            for line in charge.lines
        ],
    }
    if charge.list_nano is not None:
        data["list"] = str(charge.list_nano)
    if charge.contracted_nano is not None:
        data["contracted"] = str(charge.contracted_nano)
    if charge.band:
        data["band"] = charge.band
    if told and charge.at_most:
        data["at_most"] = True
    return data


def _spend(snapshot: Snapshot, charge: Charge | None, at: int, *, ceiling: bool) -> Data | None:
    """Convert a charge to the organisation's currency, or None where no rate is fixed."""
    if charge is None:
        return None
    nano = convert(snapshot, charge.nano, charge.currency, snapshot.currency, at=at, ceiling=ceiling)
    return None if isinstance(nano, Refusal) else {"nano": str(nano), "currency": snapshot.currency}


def _holds(hold: Hold) -> list[Data]:
    return [
        {"budget": w.budget, "window": w.window, "unit": w.unit, "resets": micros(w.resets),
         "amount": str(w.amount)}
        for w in hold.wants
        if not w.rate  # a minute's rate is no spend, and soon over
    ]  # fmt: skip
