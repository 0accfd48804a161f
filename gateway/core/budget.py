"""Budgets as arithmetic: windows, what to hold, what was spent, how leases are cut.

All pure. Amounts are integers in the budget's unit: nano-units of a currency, or
tokens. The effects (slices, statements, waiting) are in ``adapters/leases.py``;
what a batch of holds may take from the shared windows is decided here, in
:func:`plan`, so that SQLite, PostgreSQL and the in-memory twin cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.core.errors import Code, Refusal
from gateway.core.frozen import quick
from gateway.core.money import decimal_of
from gateway.core.prices import bound as price_bound
from gateway.core.prices import charge as price_charge
from gateway.core.prices import convert
from gateway.core.snapshot import App, BudgetLimit, Snapshot
from gateway.core.values import Caller, Charge, Hold, Usage, Want

TOKENS = "tokens"
Key = tuple[str, str]
"""(budget, window): one row of the shared windows."""

_SECOND = 1_000_000_000
_QUARTER_HOUR = 900 * _SECOND

# -------------------------------------------------------------------- windows


def windows(per: str, timezone: str, at: int) -> tuple[int, int]:
    """Return the half-open calendar window (start, end) that holds the instant, in ns.

    Windows are local calendar periods of the IANA zone (``day``, ``week`` from
    Monday, ``month``, ``quarter``, ``year``), so days have 23 or 25 hours around
    clock changes, with no gap and no overlap. Raises ValueError on another ``per``
    and ZoneInfoNotFoundError on an unknown zone.
    """
    start, end, _ = _window(per, timezone, at)
    return start, end


def rfc3339(at: int) -> str:
    """Return an instant as RFC 3339 UTC, to the second."""
    return datetime.fromtimestamp(at // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _window(per: str, timezone: str, at: int) -> tuple[int, int, str]:
    found = _window_of_bucket(per, timezone, at // _QUARTER_HOUR)
    if found[0] <= at < found[1]:
        return found
    # Zones whose offsets were not whole quarter hours (before 1972).
    return _window_at(per, timezone, at)


@lru_cache(maxsize=256)
def _window_of_bucket(per: str, timezone: str, bucket: int) -> tuple[int, int, str]:
    return _window_at(per, timezone, bucket * _QUARTER_HOUR)


def _window_at(per: str, timezone: str, at: int) -> tuple[int, int, str]:
    zone = ZoneInfo(timezone)
    day = datetime.fromtimestamp(at // _SECOND, zone).replace(tzinfo=None)
    day = day.replace(hour=0, minute=0, second=0, microsecond=0)
    match per:
        case "day":
            first, last = day, day + timedelta(days=1)
        case "week":
            first = day - timedelta(days=day.weekday())
            last = first + timedelta(days=7)
        case "month":
            first = day.replace(day=1)
            last = _months_on(first, 1)
        case "quarter":
            first = day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
            last = _months_on(first, 3)
        case "year":
            first = day.replace(month=1, day=1)
            last = _months_on(first, 12)
        case _:
            raise ValueError(f"unknown window `{per}`: use day, week, month, quarter or year")
    start, end = _instant(first, zone), _instant(last, zone)
    if at < start:
        # Clocks that jumped over midnight (23:30 to 00:30): the moments before the
        # reading of midnight still belong to the window before.
        return _window_at(per, timezone, start - _QUARTER_HOUR - (start - at))
    return start, end, rfc3339(start)


def _months_on(first: datetime, months: int) -> datetime:
    month = first.month - 1 + months
    return first.replace(year=first.year + month // 12, month=month % 12 + 1)


def _instant(midnight: datetime, zone: ZoneInfo) -> int:
    """Return the first instant of a local day.

    ``fold=0``: a midnight that exists twice means its first time; one that does not
    exist is read with the offset before, which is the change of clocks itself.
    """
    return int(midnight.replace(tzinfo=zone, fold=0).timestamp()) * _SECOND


# ---------------------------------------------------------------- holds, spend


def wants(
    snapshot: Snapshot, caller: Caller, *, bound: Charge | None, tokens: int, at: int
) -> tuple[Want, ...] | Refusal:
    """Return what to hold on every level: org, team, app, key, in this order.

    ``bound`` is the most that the attempt can cost (None: unpriced), ``tokens``
    the most that it can use. PRICE_UNKNOWN where a money budget meets an unpriced
    attempt or a currency without a rate.
    """
    app = snapshot.apps.get(caller.app)
    if app is None:
        return Refusal(
            code=Code.PERMISSION_DENIED,
            message=f"App `{caller.app}` is not registered. Ask whoever runs the gateway to register it.",
        )
    amounts: dict[str, int] = {TOKENS: tokens}
    found: list[Want] = []
    for level in _levels(snapshot, app, caller.key_id, at):
        unit = level.limit.unit
        amount = amounts.get(unit)
        if amount is None:
            if bound is None:
                return Refusal(
                    code=Code.PRICE_UNKNOWN,
                    message=f"Nothing was sent: {level.limit.level} `{level.limit.name}` has a budget in "
                    f"{unit}, and the price of this model is not known. Ask finance to add it to the prices.",
                    retry=False,
                )
            converted = convert(snapshot, bound.nano, bound.currency, unit, at=at, ceiling=True)
            if isinstance(converted, Refusal):
                return converted
            amount = amounts[unit] = converted
        found.append(
            Want(
                budget=level.budget,
                window=level.window,
                resets=level.resets,
                unit=unit,
                limit=level.limit.limit,
                amount=amount,
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """One budget of a caller and its window."""

    budget: str
    limit: BudgetLimit
    window: str
    resets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levels:
    """A caller's budgets, in order, while none of their windows ends: ``since`` ≤ at < ``until``."""

    since: int
    until: int
    levels: tuple[_Level, ...]


_MOST_LEVELS = 8_192
"""Keys whose levels are remembered per snapshot; beyond, all are worked out anew."""


def _levels(snapshot: Snapshot, app: App, key_id: str, at: int) -> tuple[_Level, ...]:
    """Return the budgets that apply to a key at the instant. Worked out once per window."""
    memo = snapshot.memo
    known = memo.get(("levels", app.id, key_id))
    if isinstance(known, _Levels) and known.since <= at < known.until:
        return known.levels
    since, until = -(2**63), 2**63
    levels: list[_Level] = []
    for limit, budget in _limits(app.budgets, app.key_budgets, key_id):
        start, end, window = _window(limit.per, limit.timezone, at)
        since, until = max(since, start), min(until, end)
        levels.append(_Level(budget=budget, limit=limit, window=window, resets=end))
    if len(memo) >= _MOST_LEVELS:
        memo.clear()
    fresh = _Levels(since=since, until=until, levels=tuple(levels))
    memo["levels", app.id, key_id] = fresh
    return fresh.levels


def _limits(
    budgets: Iterable[BudgetLimit], templates: Iterable[BudgetLimit], key_id: str
) -> Iterable[tuple[BudgetLimit, str]]:
    for limit in budgets:
        yield limit, limit.id
    for limit in templates:
        # As the other levels are named: two windows of one budget may start at the same
        # instant (a day and its month), and must not be one row.
        suffix = "" if limit.per == "month" else f":{limit.per}"
        yield limit, f"key:{key_id}:{limit.unit}{suffix}"


def spends(
    hold: Hold, charge: Charge | None, usage: Usage | None, snapshot: Snapshot, *, at: int
) -> dict[str, int]:
    """Return what to book per budget id for an attempt.

    What is not known is booked at its hold: no usage, no charge or no rate (promise
    6). ``at`` is the start of the attempt: the rate in force then applies.
    """
    known: dict[str, int | None] = {TOKENS: None if usage is None else usage.total}
    booked: dict[str, int] = {}
    for want in hold.wants:
        if want.unit not in known:
            known[want.unit] = _converted(charge, want.unit, snapshot, at)
        amount = known[want.unit]
        booked[want.budget] = want.amount if amount is None else amount
    return booked


def _converted(charge: Charge | None, unit: str, snapshot: Snapshot, at: int) -> int | None:
    if charge is None:
        return None
    amount = convert(snapshot, charge.nano, charge.currency, unit, at=at, ceiling=False)
    return None if isinstance(amount, Refusal) else amount


def overran(hold: Hold, actual: Mapping[str, int]) -> bool:
    """Say whether the vendor billed beyond the bound on any level."""
    return any(actual.get(want.budget, 0) > want.amount for want in hold.wants)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What one attempt is booked at: the charge, its share per budget, and how sure we are."""

    charge: Charge | None
    spends: Mapping[str, int]
    estimated: bool
    overrun: bool


def settlement(
    snapshot: Snapshot, deployment_id: str, hold: Hold, *, bound: Charge | None, usage: Usage | None, at: int
) -> Settlement:
    """Book an attempt that may have reached the vendor.

    With usage: its charge at the price of ``at`` (the start). Without, or where the
    price lacks a bucket that was used: the bound, estimated.
    """
    priced: Charge | None = None
    if usage is not None:
        result = price_charge(snapshot, deployment_id, usage, at=at)
        if isinstance(result, Charge):
            priced = result
    sure = priced is not None and not priced.estimated
    booked = priced if priced is not None else bound
    actual = spends(hold, booked, usage, snapshot, at=at)
    estimated = usage is None or usage.estimated or (booked is not None and not sure)
    return Settlement(charge=booked, spends=actual, estimated=estimated, overrun=overran(hold, actual))


def affordable_output(
    snapshot: Snapshot,
    deployment_id: str,
    *,
    input_tokens: int,
    output_tokens: int,
    room: Sequence[tuple[str, int]],
    at: int,
) -> int:
    """Return the largest output ≤ ``output_tokens`` whose hold fits every ``room``.

    ``room`` holds (unit, amount that is left) per budget. 0 when not one output
    token fits; also when the price or a rate is unknown.
    """

    def fits(output: int) -> bool:
        for unit, left in room:
            if unit == TOKENS:
                if input_tokens + output > left:
                    return False
                continue
            most = price_bound(
                snapshot, deployment_id, input_tokens=input_tokens, output_tokens=output, at=at
            )
            if isinstance(most, Refusal):
                return False
            amount = convert(snapshot, most.nano, most.currency, unit, at=at, ceiling=True)
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


def refuse(want: Want, *, spent: int, held: int, now: int, level: str | None = None) -> Refusal:
    """Return the refusal for one level that cannot take ``want``.

    BUDGET_EXCEEDED (402, no retry) when what is spent leaves no room;
    BUDGET_CONTENTION (429, soon) when only holds and slices are in the way.
    Amounts are shown as decimals of the unit.
    """
    scope = level or scope_of(want.budget)
    facts: dict[str, object] = {
        "scope": scope,
        "unit": want.unit,
        "limit": shown(want.limit, want.unit),
        "spent": shown(spent, want.unit),
        "held": shown(held, want.unit),
        "asked": shown(want.amount, want.unit),
        "resets": rfc3339(want.resets),
    }
    numbers = (
        f"limit {facts['limit']} {want.unit}, spent {facts['spent']}, held {facts['held']}, "
        f"this call may need {facts['asked']}"
    )
    if spent + want.amount > want.limit:
        return Refusal(
            code=Code.BUDGET_EXCEEDED,
            message=f"The budget of {scope} is used up: {numbers}. Nothing was sent. "
            f"It resets at {facts['resets']}; a smaller max_tokens may fit before then.",
            extension=facts,
            retry_after=max(1, -(-(want.resets - now) // _SECOND)),
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


def unavailable() -> Refusal:
    """Return the refusal for a slice that is empty while the store is away."""
    return Refusal(
        code=Code.BUDGET_UNAVAILABLE,
        message="The budget store cannot be reached and what this worker may spend alone is used. "
        "Nothing was sent. Try again shortly.",
        retry_after=2,
        retry=True,
    )


def scope_of(budget: str) -> str:
    """Return ``team `branch` `` for the budget id ``team:branch:CAD``."""
    level, _, rest = budget.partition(":")
    name = rest.partition(":")[0]
    return f"{level} `{name}`" if name else f"`{budget}`"


def shown(amount: int, unit: str) -> str:
    """Return an amount as people read it: tokens whole, money as a plain decimal."""
    if unit == TOKENS:
        return str(amount)
    text = format(decimal_of(amount).normalize(), "f")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"


# --------------------------------------------------------------------- leasing


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One hold that waits for room, all levels at once."""

    hold_id: str
    wants: tuple[Want, ...]


@dataclass(slots=True, kw_only=True)
class Room:
    """One window while a batch is planned. The planner changes it in place.

    ``committed`` is Σ granted over all writers; ``free`` is what this writer was
    granted and neither spent nor holds; ``contended`` forbids slices beyond need.
    """

    committed: int
    free: int
    contended: bool
    factor: int = 9  # how many holds' worth to lease beyond need
    limit: int = 0
    most: int = 0  # largest amount that was granted in this batch
    taken: int = 0  # added to committed by this batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one ask: held, or the key that had no room."""

    hold_id: str
    blocked: Key | None


def plan(asks: Sequence[Ask], rooms: Mapping[Key, Room]) -> list[Verdict]:
    """Decide a batch of holds in the order in which they came, then pad the slices.

    INVARIANT: an ask takes on every level or on none, and no level's committed
    amount passes the limit that the ask's own snapshot names.
    """
    verdicts: list[Verdict] = []
    for ask in asks:
        blocked: Key | None = None
        for want in ask.wants:
            room = rooms[want.budget, want.window]
            room.limit = want.limit
            more = max(0, want.amount - room.free)
            # Nothing to lease needs no room: a hold of zero passes an overrun window too.
            if more and room.committed + more > want.limit:
                blocked = (want.budget, want.window)
                break
        if blocked is None:
            for want in ask.wants:
                room = rooms[want.budget, want.window]
                more = max(0, want.amount - room.free)
                room.committed += more
                room.taken += more
                room.free += more - want.amount
                room.most = max(room.most, want.amount)
        verdicts.append(Verdict(hold_id=ask.hold_id, blocked=blocked))
    for room in rooms.values():
        more = padding(room)
        room.committed += more
        room.taken += more
        room.free += more
    return verdicts


def padding(room: Room) -> int:
    """Return how much to lease beyond need, so that the next holds need no statement.

    Up to ``factor`` holds' worth, or 1 % of what remains; nothing near the limit (less than
    twenty holds remain) or while somebody is refused for want of a slice, so that
    a small budget neither overshoots nor starves.
    """
    remaining = room.limit - room.committed
    if room.contended or room.most == 0 or remaining < 20 * room.most:
        return 0
    wished = max(0, min(room.factor * room.most, remaining // 100) - room.free)
    return min(wished, remaining)


def enlarged(hold: Hold, amounts: Mapping[str, int]) -> Hold:
    """Return the hold with further amounts per budget id added."""
    return Hold(
        id=hold.id,
        wants=tuple(replace(w, amount=w.amount + amounts.get(w.budget, 0)) for w in hold.wants),
    )


def further(hold: Hold, amounts: Mapping[str, int]) -> tuple[Want, ...]:
    """Return the wants of a top-up: the hold's levels with the further amounts only."""
    return tuple(replace(w, amount=amounts[w.budget]) for w in hold.wants if amounts.get(w.budget, 0) > 0)
