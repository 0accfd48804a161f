"""A spend report as text for people, CSV for spreadsheets and JSON for programs.

The same rows and the same foot in each. CSV cells cannot start a formula; amounts in
JSON are strings, so that no reader turns them into binary floats.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from decimal import Decimal

import orjson

from gateway.reports.spend import Line, SpendReport

_NONE = "–"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def table(report: SpendReport) -> str:
    """Return the report as a text table: head, rows, foot."""
    head = [*report.by, "calls", *(name.lower() for name in report.natives)]
    head += [report.currency.lower(), "estimated"] + (["budget"] if report.budgeted else [])
    body = [_cells(report, line, line.group) for line in report.lines]
    label = ("TOTAL",) + ("",) * (len(report.by) - 1) if report.by else ()
    foot = _cells(report, report.total, label)
    grid = [head, *body, foot]
    widths = [max(len(row[column]) for row in grid) for column in range(len(head))]
    left = len(report.by)
    lines = [
        " ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in grid
    ]
    return "\n".join([*_head(report), *lines]) + "\n"


def as_csv(report: SpendReport) -> str:
    """Return the report as CSV: one line per row and a last line of kind ``total``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    natives = [name.lower() for name in report.natives]
    writer.writerow([
        "kind", "period", "timezone", "status", *report.by, "calls", "attempts", "tokens_in", "tokens_out",
        *natives, report.currency.lower(), "estimated", "budget", "prices",
    ])  # fmt: skip
    kinds = [("row", line) for line in report.lines] + [("total", report.total)]
    for kind, line in kinds:
        group = line.group or ("",) * len(report.by)
        amounts = [*(line.native[name] for name in report.natives), line.spend, line.estimated]
        writer.writerow([
            kind, report.period.name, report.period.timezone, report.status, *(safe(cell) for cell in group),
            line.calls, line.attempts, line.tokens_in, line.tokens_out, *(str(amount) for amount in amounts),
            "" if line.budget is None else str(line.budget), report.prices_hash,
        ])  # fmt: skip
    return out.getvalue()


def as_json(report: SpendReport) -> bytes:
    """Return the report as JSON; every amount is a string of two decimals."""
    body: dict[str, object] = {
        "report": "spend",
        "organisation": report.organisation,
        "period": {
            "month": report.period.name,
            "timezone": report.period.timezone,
            "start_us": report.period.start_us,
            "end_us": report.period.end_us,
        },
        "status": report.status,
        "as_of": report.as_of,
        "invoiced": False,
        "currency": report.currency,
        "tax": "excluded",
        "rates": [
            {"pair": rate.pair, "rate": rate.rate, "fixed": rate.fixed, "source": rate.source}
            for rate in report.rates
        ],
        "policy": report.policy,
        "prices_hash": report.prices_hash,
        "by": list(report.by),
        "unpriced_attempts": report.unpriced,
        "unconverted_attempts": report.unconverted,
        "held_now": str(report.held),
        "budget_of": report.budgeted,
        "rows": [_object(report, line) for line in report.lines],
        "total": _object(report, report.total),
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2)


FORMATS: Mapping[str, tuple[str, Callable[[SpendReport], str | bytes]]] = {
    "table": ("text/plain; charset=utf-8", table),
    "csv": ("text/csv; charset=utf-8", as_csv),
    "json": ("application/json", as_json),
}
"""Format → its media type and its renderer."""


def safe(cell: str) -> str:
    """Return a CSV cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell


def _head(report: SpendReport) -> list[str]:
    period = report.period
    status = f"OPEN to {report.as_of}" if report.status == "open" else f"PRELIMINARY, as of {report.as_of}"
    rates = [f"{rate.pair} {rate.rate}, fixed {rate.fixed}, {rate.source}" for rate in report.rates]
    priced = "all priced" if not report.unpriced else f"{report.unpriced:,} WITHOUT A PRICE"
    lost = f", {report.unconverted:,} WITHOUT A RATE TO {report.currency}" if report.unconverted else ""
    total = report.total
    return [
        f"Spend · {report.organisation} · {period.name} {period.timezone} · {status} · not invoiced",
        " · ".join([f"{report.currency}, tax excluded", *rates, f"prices {_short(report.prices_hash)}"]),
        (
            f"{_plural(total.calls, 'call')} · {_plural(total.attempts, 'attempt')}, {priced}{lost} · "
            f"held now {report.held:,} (not spend)"
        ),
    ]


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _short(digest: str) -> str:
    return f"{digest.rpartition(':')[2][:8]}…"


def _cells(report: SpendReport, line: Line, group: tuple[str, ...]) -> list[str]:
    cells = [*(_printable(cell) for cell in group), f"{line.calls:,}"]
    cells += [_amount(line.native[name]) for name in report.natives]
    cells += [_amount(line.spend), _amount(line.estimated)]
    if report.budgeted:
        cells.append(_NONE if line.budget is None else _amount(line.budget))
    return cells


def _amount(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _printable(cell: str) -> str:
    # A vendor's name for a model must not steer the terminal that shows it.
    return "".join(letter if letter.isprintable() else "�" for letter in cell)


def _object(report: SpendReport, line: Line) -> dict[str, object]:
    return {
        **(dict(zip(report.by, line.group, strict=True)) if line.group else {}),
        "calls": line.calls,
        "attempts": line.attempts,
        "tokens_in": line.tokens_in,
        "tokens_out": line.tokens_out,
        "native": {name: str(line.native[name]) for name in report.natives},
        "spend": str(line.spend),
        "estimated": str(line.estimated),
        "budget": None if line.budget is None else str(line.budget),
    }
