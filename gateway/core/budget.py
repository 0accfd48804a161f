"""Budgets as arithmetic: what an attempt is booked at, what can be afforded, what a refusal says.

All pure. Amounts are integers in the budget's unit (``core/units.py``). When windows begin and
end is in ``core/windows.py``, what must be held in ``core/wants.py``, what a batch of holds may
take in ``core/leasing.py``; the effects are in ``adapters/leases.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.errors import Code, Refusal
from gateway.core.frozen import quick
from gateway.core.prices import bound as price_bound
from gateway.core.prices import charge as price_charge
from gateway.core.prices import convert
from gateway.core.snapshot import Snapshot
from gateway.core.units import (
    CONCURRENT,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    UNITS,
    is_money,
)
from gateway.core.units import shown as shown  # noqa: PLC0414 (re-exported: amounts in refusals)
from gateway.core.values import Charge, Hold, Usage, Want
from gateway.core.windows import NEVER, SECOND, instant
from gateway.core.windows import rfc3339 as rfc3339  # noqa: PLC0414 (re-exported: instants in refusals)
from gateway.core.windows import windows as windows  # noqa: PLC0414 (re-exported: periods of reports)

# ---------------------------------------------------------------------- spend


def spends(
    hold: Hold,
    charge: Charge | None,
    usage: Usage | None,
    snapshot: Snapshot,
    *,
    at: int,
    amounts: Mapping[str, int | None] | None = None,
) -> dict[str, int]:
    """Return what to book per budget id for an attempt.

    What is not known is booked at its hold: no usage, no charge or no rate (promise
    6). ``at`` is the start of the attempt: the rate in force then applies. ``amounts`` are
    what it took of further units, None where one is not known.
    """
    known: dict[str, int | None] = {
        TOKENS: None if usage is None else usage.total,
        INPUT_TOKENS: None if usage is None else usage.total_input,
        OUTPUT_TOKENS: None if usage is None else usage.total_output,
        REQUESTS: 1,
        CONCURRENT: 0,
        **(amounts or {}),
    }
    money: dict[tuple[str, str], int | None] = {}
    booked: dict[str, int] = {}
    for want in hold.wants:
        if is_money(want.unit):
            fixed = (want.unit, want.window)
            if fixed not in money:
                money[fixed] = _converted(charge, want, snapshot, at)
            amount = money[fixed]
        else:
            amount = known.get(want.unit)
        booked[want.budget] = want.amount if amount is None else amount
    return booked


def _converted(charge: Charge | None, want: Want, snapshot: Snapshot, at: int) -> int | None:
    if charge is None:
        return None
    window = instant(want.window)
    amount = convert(snapshot, charge.nano, charge.currency, want.unit, at=at, window=window, ceiling=False)
    return None if isinstance(amount, Refusal) else amount


def overran(hold: Hold, actual: Mapping[str, int]) -> bool:
    """Say whether the vendor billed beyond the bound on any level."""
    return any(
        actual.get(want.budget, 0) > want.amount
        for want in hold.wants
        if not want.rate and (want.amount or not want.soft)  # a soft budget holds nothing of the unknown
    )


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one attempt is booked at: the charge, its share per budget, and how sure we are."""

    charge: Charge | None
    spends: Mapping[str, int]
    estimated: bool
    overrun: bool


def settlement(
    snapshot: Snapshot,
    deployment_id: str,
    hold: Hold,
    *,
    bound: Charge | None,
    usage: Usage | None,
    at: int,
    amounts: Mapping[str, int | None] | None = None,
) -> Settlement:
    """Book an attempt that may have reached the vendor.

    With usage: its charge at the price of ``at`` (the start). Without, or where the
    price lacks a bucket that was used: the bound, estimated. ``amounts``: see :func:`spends`.
    """
    priced: Charge | None = None
    if usage is not None:
        result = price_charge(snapshot, deployment_id, usage, at=at)
        if isinstance(result, Charge):
            priced = result
    sure = priced is not None and not priced.estimated
    booked = priced if priced is not None else bound
    actual = spends(hold, booked, usage, snapshot, at=at, amounts=amounts)
    estimated = usage is None or usage.estimated or (booked is not None and not sure)
    return Settlement(charge=booked, spends=actual, estimated=estimated, overrun=overran(hold, actual))


def affordable_output(
    snapshot: Snapshot,
    deployment_id: str,
    *,
    input_tokens: int,
    output_tokens: int,
    room: Sequence[tuple[str, int, str]],
    at: int,
) -> int:
    """Return the largest output ≤ ``output_tokens`` whose hold fits every ``room``.

    ``room`` holds (unit, amount that is left, window) per budget. 0 when not one output
    token fits; also when the price or a rate is unknown.
    """
    counted: dict[str, Callable[[int], int]] = {
        TOKENS: lambda output: input_tokens + output,
        INPUT_TOKENS: lambda _: input_tokens,
        OUTPUT_TOKENS: lambda output: output,
        REQUESTS: lambda _: 1,
    }

    def fits(output: int) -> bool:
        for unit, left, window in room:
            if unit in counted:
                if counted[unit](output) > left:
                    return False
                continue
            if not is_money(unit):
                continue  # an answer of another length takes no less of it, as far as is known
            most = price_bound(
                snapshot, deployment_id, input_tokens=input_tokens, output_tokens=output, at=at
            )
            if isinstance(most, Refusal):
                return False
            amount = convert(
                snapshot, most.nano, most.currency, unit, at=at, window=instant(window), ceiling=True
            )
            if isinstance(amount, Refusal) or amount > left:
                return False
        return True

    if fits(output_tokens):
        return output_tokens
    low, high = 0, output_tokens  # fits(low) or low == 0; not fits(high)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


# -------------------------------------------------------------------- refusals


def refuse(
    want: Want,
    *,
    spent: int,
    held: int,
    now: int,
    level: str | None = None,
    extra: int = 0,
    frees: int | None = None,
) -> Refusal:
    """Return the refusal for one level that cannot take ``want``.

    BUDGET_EXCEEDED (402, no retry) when what is spent leaves no room;
    BUDGET_CONTENTION (429, soon) when only holds and slices are in the way;
    RATE_LIMITED (429) for a rate. Amounts are shown as decimals of the unit. ``extra`` is what
    the window took over from the one before; ``frees`` when enough of a rolling budget is free.
    """
    scope = level or scope_of(want.budget)
    limit = want.limit + extra
    gone = spent + want.amount > limit
    if want.rate:
        return _too_fast(want, scope, used=spent + held, now=now, gone=gone)
    until = frees if want.length and frees is not None else want.resets
    facts: dict[str, object] = {
        "scope": scope,
        "unit": want.unit,
        "limit": shown(limit, want.unit),
        "spent": shown(spent, want.unit),
        "held": shown(held, want.unit),
        "asked": shown(want.amount, want.unit),
        "resets": rfc3339(until),
    }
    if want.overdraft:
        facts["overdraft"] = shown(want.overdraft, want.unit)  # for streams that run already, not for this
    if spent > limit:
        facts["overdrawn"] = shown(spent - limit, want.unit)
    if extra > 0:
        facts["carried_over"] = shown(extra, want.unit)
    numbers = (
        f"limit {facts['limit']} {want.unit}, spent {facts['spent']}, held {facts['held']}, "
        f"this call may need {facts['asked']}"
    )
    if gone:
        then = (
            f"Enough of what was spent is {_hours(want.length)} old at {facts['resets']}"
            if want.length
            else f"It resets at {facts['resets']}"
        )
        return Refusal(
            code=Code.BUDGET_EXCEEDED,
            message=f"The budget of {scope} is used up: {numbers}. Nothing was sent. "
            f"{then}; a smaller max_tokens may fit before then.",
            extension=facts,
            retry_after=_seconds(until - now),
            retry=False,
        )
    return Refusal(
        code=Code.BUDGET_CONTENTION,
        message=f"Other calls hold the rest of the budget of {scope}: {numbers}. Nothing was sent. "
        "Try again in a moment.",
        extension=facts,
        retry_after=1,
        retry=True,
    )


def _too_fast(want: Want, scope: str, *, used: int, now: int, gone: bool) -> Refusal:
    """Return the refusal for a rate."""
    facts: dict[str, object] = {"scope": scope, "limit": want.limit, "used": used, "asked": want.amount}
    if want.resets == NEVER:
        return Refusal(
            code=Code.RATE_LIMITED,
            message=f"{_capital(scope)} may have {want.limit} calls at once, and has {used}. Wait for one to "
            "end, or ask the platform team to raise `concurrent`. Nothing was sent.",
            extension={**facts, "unit": "concurrent"},
            retry_after=1,
        )
    word = want.unit.replace("_", " ")
    wait = _seconds(want.resets - now) if gone else 1
    return Refusal(
        code=Code.RATE_LIMITED,
        message=f"{_capital(scope)} may use {want.limit} {word} a minute: {used} are used or held in this "
        f"minute, this call may need {want.amount}. Nothing was sent. Retry in {wait} s.",
        extension={**facts, "unit": f"{word} per minute", "resets": rfc3339(want.resets)},
        retry_after=wait,
    )


def unavailable() -> Refusal:
    """Return the refusal for a slice that is empty while the store is away."""
    return Refusal(
        code=Code.BUDGET_UNAVAILABLE,
        message="The budget store cannot be reached and what this worker may spend alone is used. "
        "Nothing was sent. Try again shortly.",
        retry_after=2,
        retry=True,
    )


_ID = re.compile(rf"(?:rate:)?([a-z]+):(.+):(?:[A-Z]{{3}}|{'|'.join(sorted(UNITS))})(?::[^:]*)?")


def scope_of(budget: str) -> str:
    """Return ``team `branch` `` for the budget id ``team:branch:CAD``."""
    found = _ID.fullmatch(budget)
    return f"{found[1]} `{found[2]}`" if found else f"`{budget}`"


def _seconds(ns: int) -> int:
    return max(1, -(-ns // SECOND))


def _hours(length: int) -> str:
    hours = length // (3600 * SECOND)
    return f"{hours // 24} d" if hours % 24 == 0 else f"{hours} h"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
