"""Why a vendor's bill and our ledger differ: each difference is laid at causes that sum to it exactly.

Bill lines are matched with our hours per window (a day, mostly), model and meter. What differs is
split, in this order: lines that are no usage, duplicates, the day's boundary, what one side lacks,
estimates, quantity, exchange rate, rounding, price. What no cause explains says so.

INVARIANT: in every cell, and so in every sum, theirs − ours = Σ parts, to the nano-unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from gateway.core.bill import METERS, Kind
from gateway.core.cut_off import (
    HOUR_US,
    MOST_SHIFT_H,
    Key,
    Window,
    Windows,
    day_shift,
    day_window,
    our_cells,
    straddling,
)
from gateway.core.variance import (
    BENIGN,
    CAUSES,
    Cause,
    Hour,
    Ours,
    Part,
    Theirs,
    by_cause,
    caused,
    estimates,
    split,
    worth,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """A bill's line, ready to be matched: our name of the model, whole nano-units of the bill's currency.

    ``priced_nano`` is the amount before the vendor's own conversion, at *our* rate: what is left to
    ``nano`` is then the exchange rate's. ``step_nano`` is the smallest amount that the bill can show.
    """

    start_us: int
    end_us: int
    model: str
    meter: str
    kind: Kind
    quantity: Fraction | None
    nano: int | None
    ref: str
    step_nano: int = 1
    priced_nano: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """What was booked beside the attempts for a model: adjustments, corrections; ``reserved`` capacity."""

    start_us: int
    model: str
    nano: int
    reserved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One window and model. Quantities are None where the bill names none."""

    start_us: int
    end_us: int
    model: str
    known: bool  # whether the model is one of ours
    theirs_nano: int
    ours_nano: int
    theirs_quantity: Fraction | None
    ours_quantity: int
    parts: tuple[Part, ...]

    @property
    def gap(self) -> int:
        """The bill less our ledger."""
        return self.theirs_nano - self.ours_nano

    @property
    def open_nano(self) -> int:
        """The part of the gap that needs a decision."""
        return sum(part.nano for part in self.parts if part.cause not in BENIGN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """A bill against a period of the ledger. ``edges`` are our hours that only one of them covers."""

    cells: tuple[Cell, ...]
    edges: tuple[Part, ...]
    theirs_nano: int
    ours_nano: int
    shift_hours: int  # by which the bill's days are shifted against what it says; 0 mostly

    @property
    def gap(self) -> int:
        """The bill less our ledger."""
        return self.theirs_nano - self.ours_nano

    @property
    def causes(self) -> dict[Cause, int]:
        """What each cause adds up to. They sum to the gap."""
        sums: dict[Cause, int] = defaultdict(int)
        for part in (*(part for cell in self.cells for part in cell.parts), *self.edges):
            sums[part.cause] += part.nano
        return {cause: sums[cause] for cause in CAUSES if cause in sums}


def reconcile(
    billed: Sequence[Billed],
    ours: Sequence[Hour],
    *,
    period: Window,
    covered: Window,
    currencies_differ: bool = False,
    adjusted: Sequence[Adjusted] = (),
    our_models: frozenset[str] | None = None,
) -> Reconciled:
    """Match one vendor's bill in one currency with our hours and split what differs.

    ``period`` is ours (a month where we are); ``covered`` is what the bill is about. ``ours``
    holds the hours of both, and a day around them where a shift is to be found.
    ``currencies_differ``: our prices are in another currency than the bill.
    """
    known = frozenset(hour.model for hour in ours) if our_models is None else our_models
    # Where a bill names no meter of a model, its meters are compared as one.
    plain_models = {line.model for line in billed if line.kind == "usage" and not line.meter}
    usage = [
        replace(line, meter="") if line.model in plain_models else line
        for line in billed
        if line.kind == "usage"
    ]
    hours = [replace(hour, meter="") if hour.model in plain_models else hour for hour in ours]
    windows = _windows(usage)
    theirs = _their_cells(usage, windows)
    moved_h = day_shift(theirs, hours, windows, covered)
    plain = our_cells(hours, windows, covered, 0)
    moved = our_cells(hours, windows, covered, moved_h) if moved_h else plain
    _charge_counts(theirs, moved)
    parts = _parts(theirs, moved, hours, currencies_differ=currencies_differ)
    for key in plain.keys() | moved.keys() if moved_h else ():
        before, after = plain.get(key, Ours()), moved.get(key, Ours())
        parts[key[0], key[1]].append(
            caused("cut_off", after.nano - before.nano, f"days shifted {moved_h:+} h")
        )
    aside = _aside(billed, adjusted, windows, covered)
    cells = _cells(parts, theirs, plain, aside, known)
    edges = _edges(hours, adjusted, period, covered)
    return Reconciled(
        cells=tuple(_price_all_along(cells, theirs, plain)),
        edges=edges,
        theirs_nano=sum(cell.theirs_nano for cell in cells),
        ours_nano=sum(cell.ours_nano for cell in cells) - sum(part.nano for part in edges),
        shift_hours=moved_h,
    )


_Place = tuple[Window, str]
"""A window and a model."""


def _parts(
    theirs: Mapping[Key, Theirs], ours: Mapping[Key, Ours], hours: Sequence[Hour], *, currencies_differ: bool
) -> dict[_Place, list[Part]]:
    """Split the gap of every window, model and meter."""
    straddled = straddling(theirs, ours, hours)
    on_bill = {(window, model) for window, model, _ in theirs}
    in_books = {(window, model) for window, model, _ in ours}
    parts: dict[_Place, list[Part]] = defaultdict(list)
    for key in sorted(theirs.keys() | ours.keys()):
        window, model, meter = key
        lacking: Cause | None = None
        if (window, model) not in on_bill:
            lacking = "missing_at_vendor"
        elif (window, model) not in in_books or (key not in ours and meter not in {"", *METERS}):
            lacking = "missing_at_ours"
        parts[window, model] += split(
            theirs.get(key) or Theirs(quantity=Fraction(0), nano=0),
            ours.get(key) or Ours(),
            meter=meter,
            lacking=lacking,
            straddled=straddled.get(key, Fraction(0)),
            currencies_differ=currencies_differ,
        )
    return parts


# ---------------------------------------------------------------------- windows


def _cell_of(line: Billed) -> Window:
    """Return the window in which a line is compared: its UTC day, or its own where it has another."""
    day = day_window(line.start_us)
    return day if line.end_us <= day[1] else (line.start_us, line.end_us)


def _windows(usage: Iterable[Billed]) -> Windows:
    windows = Windows()
    for line in usage:
        windows.add(line.model, _cell_of(line))
    return windows


def _their_cells(usage: Iterable[Billed], windows: Windows) -> dict[Key, Theirs]:
    cells: dict[Key, Theirs] = defaultdict(Theirs)
    seen: set[str] = set()
    for line in usage:
        window = _cell_of(line)
        # A line of a day beside one of the month: both are compared where our hours are.
        window = windows.of(line.model, line.start_us) if window == day_window(line.start_us) else window
        cell = cells[window, line.model, line.meter]
        cell.lines += 1
        cell.tolerance += max(1, line.step_nano // 2 + line.step_nano % 2)
        if line.quantity is not None:
            cell.quantity = (cell.quantity or Fraction(0)) + line.quantity
        if line.nano is not None:
            cell.nano = (cell.nano or 0) + line.nano
            if line.priced_nano is not None:
                cell.fx += line.nano - line.priced_nano
        if line.ref and line.ref in seen:
            cell.twice_quantity += line.quantity or 0
            cell.twice_nano += line.nano or 0
        seen.add(line.ref)
    return dict(cells)


def _charge_counts(theirs: Mapping[Key, Theirs], ours: Mapping[Key, Ours]) -> None:
    """Give cells an amount that are counted only: nothing, where their window is charged elsewhere.

    A source that only counts is compared at our price: then the count alone can differ.
    """
    charged = {window for (window, _, _), they in theirs.items() if they.nano is not None}
    for key, they in theirs.items():
        if they.nano is None:
            they.nano = (
                0 if key[0] in charged else worth(they.quantity or Fraction(0), ours.get(key) or Ours())
            )


# -------------------------------------------------------- beside the matched lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aside:
    """What is not matched with calls: lines that are no usage, and what was booked beside the attempts."""

    place: _Place
    theirs_nano: int
    ours_nano: int
    cause: Cause


def _aside(
    billed: Iterable[Billed], adjusted: Iterable[Adjusted], windows: Windows, covered: Window
) -> list[_Aside]:
    found: list[_Aside] = []
    for line in billed:
        if line.kind != "usage":
            # Fees stand against reserved capacity, whatever the days and names on either side.
            place = (covered, "") if line.kind == "fee" else (_cell_of(line), line.model)
            found.append(_Aside(place=place, theirs_nano=line.nano or 0, ours_nano=0, cause=line.kind))
    for item in adjusted:
        if covered[0] <= item.start_us < covered[1]:
            own = (windows.of(item.model, item.start_us), item.model)
            place = (covered, "") if item.reserved else own
            cause: Cause = "fee" if item.reserved else "adjusted"
            found.append(_Aside(place=place, theirs_nano=0, ours_nano=item.nano, cause=cause))
    return found


def _cells(
    parts: dict[_Place, list[Part]],
    theirs: Mapping[Key, Theirs],
    plain: Mapping[Key, Ours],
    aside: Iterable[_Aside],
    known: frozenset[str],
) -> list[Cell]:
    theirs_nano: dict[_Place, int] = defaultdict(int)
    counts: dict[_Place, Fraction] = {}
    ours: dict[_Place, Ours] = defaultdict(Ours)
    for (window, model, _), they in theirs.items():
        theirs_nano[window, model] += they.nano or 0
        if they.quantity is not None:
            counts[window, model] = counts.get((window, model), Fraction(0)) + they.quantity
    for (window, model, _), we in plain.items():
        here = ours[window, model]
        here.nano += we.nano
        here.quantity += we.quantity
        here.estimated_nano += we.estimated_nano
    for item in aside:
        theirs_nano[item.place] += item.theirs_nano
        parts[item.place].append(caused(item.cause, item.theirs_nano - item.ours_nano))
        ours[item.place].nano += item.ours_nano
    return [
        Cell(
            start_us=place[0][0],
            end_us=place[0][1],
            model=place[1],
            known=place[1] in known,
            theirs_nano=theirs_nano[place],
            ours_nano=ours[place].nano,
            theirs_quantity=counts.get(place),
            ours_quantity=ours[place].quantity,
            parts=estimates(by_cause(some), ours[place].estimated_nano),
        )
        for place, some in sorted(parts.items())
    ]


def _edges(
    ours: Iterable[Hour], adjusted: Iterable[Adjusted], period: Window, covered: Window
) -> tuple[Part, ...]:
    """Return what lies in the bill's time but not in ours, and the other way round."""
    cut_off, later = 0, 0
    most = MOST_SHIFT_H * HOUR_US
    for hour in ours:
        billed = covered[0] <= hour.start_us < covered[1]
        own = period[0] <= hour.start_us < period[1]
        if billed and not own:
            cut_off += hour.nano
        elif own and not billed:
            near = min(abs(hour.start_us - edge) for edge in period) <= most
            if near:
                cut_off -= hour.nano
            else:
                later -= hour.nano
    for item in adjusted:
        if period[0] <= item.start_us < period[1] and not covered[0] <= item.start_us < covered[1]:
            later -= item.nano
    return by_cause(
        [
            caused("cut_off", cut_off, "the bill's month and ours end at another hour"),
            caused("not_billed_yet", later, "hours that the bill does not cover"),
        ]
    )


def _price_all_along(
    cells: Sequence[Cell], theirs: Mapping[Key, Theirs], plain: Mapping[Key, Ours]
) -> list[Cell]:
    """Call it a price where a bill without counts is the same multiple of ours on every day.

    Three days at least, within a thousandth: a quantity that is missing does not do that.
    """
    ratios: dict[str, list[Fraction]] = defaultdict(list)
    uncounted = {(w, m) for (w, m, _), they in theirs.items() if they.quantity is None and they.nano}
    mine: dict[tuple[Window, str], int] = defaultdict(int)
    for (window, model, _), we in plain.items():
        mine[window, model] += we.nano
    for cell in cells:
        window = (cell.start_us, cell.end_us)
        if (window, cell.model) in uncounted and mine[window, cell.model]:
            ratios[cell.model].append(Fraction(cell.theirs_nano, mine[window, cell.model]))
    steady = {
        model
        for model, found in ratios.items()
        if len(found) >= 3 and max(found) - min(found) <= abs(max(found)) / 1000
    }
    return [
        replace(
            cell,
            parts=by_cause(
                [
                    replace(part, cause="price", says="the same multiple of ours every day")
                    if part.cause == "unexplained"
                    else part
                    for part in cell.parts
                ]
            ),
        )
        if cell.model in steady
        else cell
        for cell in cells
    ]
