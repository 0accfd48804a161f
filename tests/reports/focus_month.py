"""A made-up November of a bank with everything in it that a FOCUS file can tell.

Run as a program it writes the month's files: ``python -m tests.reports.focus_month FOLDER``.
``.ci/focus`` does, for the validator of the FinOps Foundation.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection

from gateway.adapters.store_sql.entries import append
from gateway.core.entries import Entry
from gateway.core.reserved import split
from gateway.reports.focus import Export, export
from tests.people import book, database, row, snapshot, sqlite

MONTH = "2026-11"
START = datetime(2026, 11, 1, 4, tzinfo=UTC)  # midnight in Toronto, the day that summer time ends there
RATE = Decimal("1.3925")
APPS = (("branch", "teller", "4410"), ("branch", "mortgages", "4410"), ("lab", "hackathon", None))
MODELS: tuple[tuple[str, str, str, str, str, dict[str, str], str | None], ...] = (
    ("azure-cae-41mini", "microsoft", "CA-ON", "gpt-4.1-mini", "USD",
     {"input": "0.44", "cache_read": "0.11", "output": "1.76", "request": "0.0003"}, None),
    ("cohere-command", "cohere", "CA-QC", "command-r", "CAD",
     {"input": "0.2150", "output": "0.861", "search_unit": "0.0021"}, "0.9"),
    ("bedrock-claude", "amazon", "CA-QC,US", "claude", "USD",
     {"input": "3", "cache_write_5m": "3.75", "cache_write_1h": "6", "cache_read": "0.3", "output": "15"},
     None),
)  # fmt: skip
TOKENS = {"input", "cache_read", "cache_write_5m", "cache_write_1h", "output"}


def us(at: datetime) -> int:
    """An instant as the tables hold it."""
    return int(at.timestamp()) * 1_000_000


def charge(lines: list[dict[str, Any]], price: str = "unit_price") -> int:
    """What lines cost, rounded once, half-even, to nano-units."""
    exact = sum(
        (Fraction(line.get(price) or line["unit_price"]) * line["quantity"] / line["per"] for line in lines),
        Fraction(0),
    )
    whole, rest = divmod(exact * 10**9, 1)
    return int(whole) + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and int(whole) % 2 == 1))


def converted(nano: int, currency: str) -> int:
    """In the organisation's currency."""
    return nano if currency == "CAD" else int((nano * RATE).to_integral_value(ROUND_HALF_EVEN))


def attempts(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Attempts of all sorts, spread over the month."""
    dice = random.Random(seed)  # noqa: S311 (a made-up month)
    for number in range(count):
        team, app, centre = dice.choice(APPS)
        deployment, vendor, place, model, currency, meters, discount = dice.choice(MODELS)
        at = us(START + timedelta(seconds=dice.randrange(29 * 86_400)))
        tier = dice.choice(["", "", "", "batch"])
        lines: list[dict[str, Any]] = []
        for meter, price in meters.items():
            quantity = dice.randrange(1, 9000) if meter in TOKENS else dice.randrange(2)
            if not quantity or dice.random() < 0.2:
                continue
            listed = Decimal(price) / (2 if tier and meter in TOKENS else 1)
            line = {
                "meter": meter, "quantity": quantity, "price_id": f"{deployment}-2026",
                "unit_price": f"{listed * Decimal(discount or 1):f}",
                "per": 1_000_000 if meter in TOKENS else 1,
            }  # fmt: skip
            lines.append(line | ({"list_unit_price": f"{listed:f}"} if discount else {}))
        nano, listed_nano = charge(lines), charge(lines, "list_unit_price")
        changes: dict[str, Any] = {
            "call_id": f"c{number}", "seq": number, "started_us": at, "ended_us": at + 900_000,
            "team": team, "app": app,
            "cost_centre": centre, "deployment": deployment, "vendor": vendor, "place": place, "model": model,
            "tier": tier, "currency": currency, "nano": nano, "list_nano": listed_nano if discount else None,
            "spend_nano": converted(nano, currency), "estimated": dice.random() < 0.03,
            "lines": orjson.dumps(lines).decode(), "price_ids": f"{deployment}-2026",
        }  # fmt: skip
        kind = dice.random()
        if kind < 0.02:  # failed before the vendor charged anything
            changes |= dict.fromkeys(("currency", "nano", "spend_currency", "spend_nano", "list_nano")) | {
                "lines": "[]", "status": "failed",
            }  # fmt: skip
        elif kind < 0.04:  # a free demo deployment
            changes |= {
                "deployment": "own-llama", "vendor": "self", "model": "llama", "currency": "CAD",
                "nano": 0, "spend_nano": 0, "lines": "[]",
                "price_ids": "own-llama-free", "list_nano": None, "tier": "", "units": '{"web_search":1}',
            }  # fmt: skip
        elif kind < 0.05:  # booked late: its own month was closed
            october = us(datetime(2026, 10, 31, 20, tzinfo=UTC))
            changes |= {"started_us": october, "ended_us": october + 1, "billing_period": MONTH}
        elif kind < 0.06:  # a charge whose lines are lost
            changes |= {"lines": "[]"}
        yield row(f"c{number}/1", **changes)


def entry(name: str, **changes: Any) -> Entry:
    """An entry of the ledger."""
    values: dict[str, Any] = {
        "id": name, "kind": "adjust", "tenant": "maple", "billing_period": MONTH, "start_us": us(START),
        "end_us": us(START + timedelta(days=1)), "team": "branch", "app": "teller", "cost_centre": "4410",
        "alias": "chat", "deployment": "azure-cae-41mini", "vendor": "microsoft", "place": "CA-ON",
        "model": "gpt-4.1-mini", "currency": "USD", "nano": -1_234_567_890, "spend_currency": "CAD",
        "spend_nano": -1_719_135_787, "quantity": 0, "unit": "",
        "reason": "The vendor's bill is lower: rounding.",
        "refers": "bill:7", "origin": "", "ratio_ppb": 0, "estimated": False, "created_us": us(START),
        "created_by": "finance",
    }  # fmt: skip
    return Entry(**{**values, **changes})


def shares(hours: int = 48, seed: int = 3) -> Iterator[Entry]:
    """Hours of a GPU pool and days of a reservation, split over who used them, the rest idle."""
    dice = random.Random(seed)  # noqa: S311
    for hour in range(hours):
        start = START + timedelta(hours=hour)
        micros = [dice.randrange(1, 10**9) for _ in range(4)]
        micros[3] = 4 * 3_600_000_000 - sum(micros[:3])
        nano = 9_960_000_000  # four GPUs at 2.49
        origin = f"gpu:llama-pool:{us(start)}"
        nanos, ratios = split(nano, micros), split(10**9, micros)
        bearers = [*APPS, ("", "", None)]
        for number, ((team, app, centre), micro) in enumerate(zip(bearers, micros, strict=True)):
            part = "use" if team else "unallocated"
            yield entry(
                f"{origin}:1:{part}:{number:020x}", kind="gpu", start_us=us(start),
                end_us=us(start + timedelta(hours=1)),
                team=team, app=app, cost_centre=centre, deployment="own-llama", vendor="self",
                place="CA-QC", model="llama",
                currency="CAD", nano=nanos[number], spend_nano=nanos[number], quantity=micro,
                unit="micro-gpu-seconds",
                reason="GPU time", refers="", origin=origin, ratio_ppb=ratios[number],
            )  # fmt: skip
    for day in range(hours // 24):
        start, end = START + timedelta(days=day, hours=day > 0), START + timedelta(days=day + 1, hours=1)
        origin = f"reserved:azure-ptu-2026:{start:%Y-%m-%dT%H:%M:%SZ}"
        weights = [5, 3, 0, 9]
        nanos, spends, ratios = (
            split(480_000_000_001, weights),
            split(668_400_000_001, weights),
            split(10**9, weights),
        )
        for number, (team, app, centre) in enumerate([*APPS, ("", "", None)]):
            yield entry(
                f"{origin}:{team}:{app}:{centre or ''}", kind="reserved", start_us=us(start),
                end_us=us(end), team=team,
                app=app, cost_centre=centre, deployment="azure-ptu", model="", nano=nanos[number],
                spend_nano=spends[number],
                quantity=weights[number] * 1000, unit="tokens", reason="Reserved capacity", refers="",
                origin=origin,
                ratio_ppb=ratios[number],
            )  # fmt: skip


def others() -> Iterator[Entry]:
    """What reconciliation and corrections booked."""
    yield entry("reconcile:7:1:0")
    october = us(datetime(2026, 10, 12, tzinfo=UTC))
    yield entry(
        "correct:1",
        kind="correction",
        start_us=october,
        end_us=october + 350_000,
        refers="c9/1",
        nano=77,
        spend_nano=107,
    )
    yield entry("reconcile:8:1:0", start_us=october, end_us=october + 86_400_000_000, team="", app="",
    cost_centre=None,
                deployment="", place="", model="", alias="")  # fmt: skip
    yield entry("correct:2", kind="adjust", end_us=us(START) + 1, nano=-5, spend_nano=-7)


def fill(connection: Connection, count: int = 400) -> None:
    """Book the month."""
    book(connection, *attempts(count))
    append(connection, [*shares(), *others()])


def exported(connection: Connection, version: str = "1.2", grain: str = "day") -> Export:
    """The month's export."""
    return export(snapshot(), month_name=MONTH, version=version, grain=grain)(connection)


def main(folder: Path, count: int) -> None:
    """Write the month in both versions and formats."""
    with tempfile.TemporaryDirectory() as scratch, database(sqlite(Path(scratch))) as store:
        with store.write() as connection:
            fill(connection, count)
        with store.read() as connection:
            for version in ("1.2", "1.4"):
                made = exported(connection, version)
                for form in ("csv", "parquet"):
                    with (folder / made.file_name(form)).open("wb") as out:
                        made.write(form, out)
                print(f"FOCUS {version}: {made.count} rows, {made.billed}")  # noqa: T201 (a program)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 400)
