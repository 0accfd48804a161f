"""One month of finance, from the first call to the closed books, over the real gateway and command line.

Two teams call over two vendors; every figure of every report, in every format, is held against what the
vendors metered times the price, computed here by hand. Then the bill comes, dearer than agreed; it is
reconciled, the month is closed, corrected afterwards, and tampered with. The tests stand in the month's
order; each asks for the state it needs, so that one may be run alone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import anthropic
import httpx
import openai
import openpyxl
import pyarrow.parquet as pq
import pypdf
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.adapters.store_sql.engine import Store
from gateway.adapters.store_sql.schema import migrate
from gateway.core.periods import following
from gateway.reports.period import month, month_of
from tests.acceptance import bank
from tests.acceptance.commands import admin_tokens
from tests.acceptance.running import Running, eventually
from tests.acceptance.test_alerts import Hook
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
CLOCK = str(Path(__file__).with_name("clock.py"))
TORONTO: Final = "America/Toronto"
ASKED: Any = [{"role": "user", "content": "What does a mortgage cost?"}]
RATE, NANO, CENT = Decimal("1.3925"), Decimal(10) ** 9, Decimal("0.01")
# USD per million tokens, a thousand times the usual, and nowhere a whole cent.
PRICES: Final = {
    "ca": (Decimal("1234.567"), Decimal("4321.987")),
    "ca_on": (Decimal("987.653"), Decimal("3210.123")),
}
BILLED_OUTPUT = Decimal(4500)  # what the vendor of `ca` asks for output on its bill
KINDS: Final = ("spend", "budget", "chargeback", "unit-cost", "forecast")
FORMATS: Final = ("table", "csv", "json", "xlsx", "pdf", "parquet")
OLD_NAMES: Final = {"native_usd": "usd", "spend": "cad"}  # the spend report's columns in its first CSV


def cents(amount: Decimal) -> Decimal:
    """Return an amount rounded to the cent."""
    return amount.quantize(CENT, ROUND_HALF_EVEN)


def whole(amount: Decimal) -> Decimal:
    """Return nano-units rounded to whole ones."""
    return amount.to_integral_value(ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What a vendor counted for one answered call."""

    place: str
    input: int
    output: int

    @property
    def nano(self) -> Decimal:
        """Its price by hand, in billionths of a US dollar."""
        each_in, each_out = PRICES[self.place]
        return whole((self.input * each_in + self.output * each_out) * 1000)

    @property
    def spend_nano(self) -> Decimal:
        """The same in Canadian dollars, rounded once."""
        return whole(self.nano * RATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A gateway after the month's calls, its clock, and who may ask it."""

    running: Running
    offset: Path
    tokens: Mapping[str, str]
    app_key: str
    hook: Hook
    name: str
    metered: tuple[Metered, ...]
    by_app: Mapping[str, tuple[Metered, ...]]
    answers: Mapping[str, Mapping[str, str]]  # headers by what the call shows
    refusal: openai.APIStatusError

    @property
    def usd(self) -> Decimal:
        """All of the vendors' meters, priced by hand."""
        return sum((one.nano for one in self.metered), Decimal(0)) / NANO

    @property
    def cad(self) -> Decimal:
        """The same, converted attempt by attempt."""
        return sum((one.spend_nano for one in self.metered), Decimal(0)) / NANO

    def hours_after_its_end(self, hours: int) -> None:
        """Move the clock of the gateway and of the command line."""
        end = month(self.name, TORONTO).end_us / 1e6
        self.offset.write_text(str(int(end + hours * 3600 - time.time())))

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one ``borderpost`` command to its end, under the moved clock."""
        running = self.running
        return subprocess.run(
            [sys.executable, "-P", CLOCK, *map(str, arguments)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "VENDOR_KEY": "unused",
                "BORDERPOST_DATA_DIR": str(running.data),
                "BORDERPOST_POLICIES": str(running.policies),
                "BORDERPOST_PLACE": "CA-QC",
                **running.settings,
                "CLOCK_OFFSET_FILE": str(self.offset),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, *arguments: str | Path) -> str:
        """Run a command that must succeed and return what it says."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def http(
        self, path: str, *, method: str = "GET", token: str | None = None, body: object = None, **params: str
    ) -> httpx.Response:
        """Ask over HTTP, with finance's token unless another is given (empty: none)."""
        bearer = self.tokens["finance"] if token is None else token
        return httpx.request(
            method,
            f"{self.running.url}/v1/{path}",
            params=params,
            headers={"authorization": f"Bearer {bearer}"} if bearer else {},
            json=body,
            trust_env=False,
            timeout=60,
        )

    def report(self, kind: str, form: str = "json", name: str = "", **params: str) -> bytes:
        """Return a report over HTTP."""
        got = self.http(f"reports/{kind}", month=name or self.name, format=form, **params)
        assert got.status_code == 200, got.text
        return got.content

    def table(self, kind: str, section: str, name: str = "") -> dict[str, Any]:
        """Return one table of a report, from its JSON."""
        found = json.loads(self.report(kind, name=name, section=section))
        return next(one for one in found["sections"] if one["name"] == section)


# ----------------------------------------------------------------- the month's calls


@pytest.fixture(scope="module")
def spent(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    """A bank in the middle of this month, after the calls of two teams."""
    with bank_of(places, tmp_path_factory.mktemp("month")) as made:
        yield made


@contextmanager
def bank_of(places: Places, folder: Path, **settings: str) -> Iterator[Month]:
    """Run a gateway whose clock stands in the middle of this month, and make the month's calls."""
    hook = Hook()
    vendors = {name: places[name] for name in PRICES}
    bank.write(folder / "policies", policies(vendors, hook))
    file, tokens = admin_tokens(folder, "finance", "auditor", "admin")
    offset = folder / "offset"
    noon = datetime.now(UTC).astimezone(ZoneInfo(TORONTO)).replace(day=15, hour=12, minute=0)
    offset.write_text(str(int(noon.timestamp() - time.time())))
    running = Running(
        folder=folder,
        policies=folder / "policies",
        settings={
            "CLOCK_OFFSET_FILE": str(offset),
            "BORDERPOST_ADMIN_TOKEN_FILE": str(file),
            **settings,
        },
        program=("-P", CLOCK),
    )
    try:
        yield call(running.start(), vendors, offset, tokens, hook)
    finally:
        running.kill()
        hook.close()


def policies(vendors: Places, hook: Hook) -> bank.Bundle:
    """Return the bank's bundle with this month's prices, budgets, accounts and destination of alerts."""
    files = bank.bundle(vendors)
    files["prices/all.yaml"] = [
        bank.price(name, inputs=str(inputs), outputs=str(outputs))
        for name, (inputs, outputs) in PRICES.items()
    ]
    teams = files["teams.yaml"]["teams"]
    teams["branch"]["budget"] = {"per": "month", "limit": "25.00", "alert_at": [40]}
    app = {"data": ["public"], "models": ["only-ca"]}
    teams["lab"]["apps"] |= {
        "short": {
            **app,
            "budget": {"per": "month", "limit": "2.00"},
            "when_over": [{"cap_answer_tokens": 16}],
        },
        "pocket": {**app, "budget": {"per": "month", "limit": "0.01"}},
    }
    files["teams.yaml"]["books"] = {
        "gl": [
            {"account": "6400", "from": "2026-01-01"},
            {"account": "2100", "from": "2026-01-01", "side": "credit"},
        ]
    }
    webhook = {"url": hook.url, "secret": "env:VENDOR_KEY", "private": True}
    files["alerts.yaml"] = {
        "destinations": {"ops": {"webhook": webhook, "place": "CA-QC"}},
        "send": [{"on": ["budget_threshold"], "to": "ops"}],
    }
    return files


def call(running: Running, vendors: Places, offset: Path, tokens: dict[str, str], hook: Hook) -> Month:
    """Make the calls with the SDKs, and wait until the ledger has them all."""
    ca = vendors["ca"]
    keys = dict(
        zip(
            ("teller", "hackathon", "short", "pocket"),
            running.keys_of(["teller", "hackathon", "short", "pocket"]),
            strict=True,
        )
    )
    answers: dict[str, Mapping[str, str]] = {}
    by_app: dict[str, tuple[Metered, ...]] = {}
    before: set[int] = set()

    def booked_to(app: str) -> None:
        fresh = [
            (name, seen)
            for name, vendor in vendors.items()
            for seen in vendor.seen
            if id(seen) not in before and seen.billed.calls
        ]
        before.update(id(seen) for _, seen in fresh)
        by_app[app] = tuple(
            Metered(place=name, input=seen.billed.input, output=seen.billed.output) for name, seen in fresh
        )

    def gpt(app: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{running.url}/v1", api_key=keys[app], max_retries=0)

    with (
        gpt("teller") as teller,
        gpt("hackathon") as lab,
        gpt("short") as short,
        gpt("pocket") as pocket,
        anthropic.Anthropic(base_url=running.url, api_key=keys["teller"], max_retries=0) as claude,
    ):
        ca.script(*[Script(text="word " * length) for length in (690, 689, 687)])
        for _ in range(3):  # past the threshold
            teller.chat.completions.create(model="chat", messages=ASKED)
        claude.messages.create(model="only-ca-on", max_tokens=50, messages=ASKED)
        for _ in teller.chat.completions.create(model="only-ca", messages=ASKED, stream=True):
            pass
        ca.script(Script(status=503))
        fallen = teller.chat.completions.with_raw_response.create(model="chat", messages=ASKED)
        answers["fallback"] = fallen.headers
        booked_to("teller")
        lab.chat.completions.create(model="only-ca", messages=ASKED)
        booked_to("hackathon")
        ca.script(Script(text="word " * 40))
        cut = short.chat.completions.with_raw_response.create(model="only-ca", messages=ASKED)
        answers["degraded"] = cut.headers
        booked_to("short")
        with pytest.raises(openai.APIStatusError) as refused:
            pocket.chat.completions.create(model="only-ca", messages=ASKED)
        booked_to("pocket")
    running.ledger(9, wait_s=30)
    running.wait_projected(30)
    return Month(
        running=running,
        offset=offset,
        tokens=tokens,
        app_key=keys["teller"],
        hook=hook,
        name=month_of(time.time_ns() + int(offset.read_text()) * 10**9, TORONTO),
        metered=tuple(one for ones in by_app.values() for one in ones),
        by_app=by_app,
        answers=answers,
        refusal=refused.value,
    )


def test_the_ledger_holds_the_vendors_meters_times_the_price(spent: Month) -> None:
    """A row per attempt, the failed try among them for nothing; each charge is the meter's, by hand."""
    rows = spent.running.ledger(9)
    assert len(rows) == 9
    assert len(spent.metered) == 8
    assert sum(not row["nano"] for row in rows) == 1
    assert [len(spent.by_app[app]) for app in ("teller", "hackathon", "short", "pocket")] == [6, 1, 1, 0]
    for column, expected in (("nano", "nano"), ("spend_nano", "spend_nano")):
        booked = sorted(int(str(row[column])) for row in rows if row["nano"])
        assert booked == sorted(int(getattr(one, expected)) for one in spent.metered), column
    assert spent.answers["fallback"]["x-borderpost-place"] == "CA-ON"


def test_small_budgets_degrade_and_refuse(spent: Month) -> None:
    """What fits shorter is answered shorter and says so; what does not fit is refused, and costs nothing."""
    assert spent.answers["degraded"]["x-borderpost-degraded"] == "answer_tokens=16"
    assert [one.output for one in spent.by_app["short"]] == [16]
    assert spent.refusal.status_code == 402
    told: Any = spent.refusal.body
    assert (told["code"], told["borderpost"]["scope"], told["borderpost"]["spent"]) == (
        "budget_exceeded",
        "app `pocket`",
        "0.00",
    )


def test_the_threshold_reached_the_webhook_once(spent: Month) -> None:
    """A real receiver has one message with the amount spent; the list says that it was sent."""
    eventually(spent.hook.kinds, 60)
    eventually(lambda: "sent → ops" in spent.ok("alerts", "list"), 60)
    assert spent.hook.kinds() == ["budget_threshold"]
    [(_, body)] = spent.hook.got
    data = body["data"]
    assert (data["budget"], data["percent"], data["limit"]) == ("team:branch:CAD", 40, "25.00")
    assert Decimal("10.00") <= Decimal(data["spent"]) <= cents(spent.cad) + CENT


# ------------------------------------------------------------ every report, every format


def foots(spent: Month, cad: Decimal, *, by_day: Decimal | None = None) -> None:
    """Assert that each report's JSON ends in the one total, and that its rows sum to it.

    ``by_day``: what the days were about, where some of it is booked in another month.
    """
    days = spent.table("forecast", "days")
    everybody = spent.table("forecast", "forecast")["rows"][0]
    assert everybody["team"] == "all teams"
    spend = spent.table("spend", "spend")
    chargeback = spent.table("chargeback", "chargeback")
    gl = spent.table("chargeback", "gl")
    unit = spent.table("unit-cost", "unit_cost")
    for found, column, expected in (
        (spend, "spend", cad),
        (chargeback, "effective", cad),
        (chargeback, "billed", cad),
        (gl, "debit", cad),
        (gl, "credit", cad),
        (unit, "cost", cad),
        (days, "spend", cad if by_day is None else by_day),
    ):
        assert Decimal(found["total"][column]) == cents(expected), (found["name"], column)
        assert sum(Decimal(row[column]) for row in found["rows"]) == cents(expected), (found["name"], column)
    assert everybody["spent"] == days["total"]["spend"]


def test_every_report_is_the_vendors_meter_to_the_cent(spent: Month) -> None:
    """Five reports, one total: the meters times the price; by app too; no budget differs from its rows."""
    foots(spent, spent.cad)
    nano = sum(int(str(row["spend_nano"])) for row in spent.running.ledger(9))
    assert Decimal(nano) == spent.cad * NANO
    spend = json.loads(spent.report("spend", by="app"))
    assert Decimal(spend["total"]["native"]["USD"]) == cents(spent.usd)
    for row in spend["rows"]:
        exact = sum((one.spend_nano for one in spent.by_app[row["app"]]), Decimal(0)) / NANO
        assert abs(Decimal(row["spend"]) - exact) < CENT, row  # largest remainder moves less than a cent
    budgets = {
        (row["level"], row["name"]): {name: row[name] for name in ("spent", "ledger", "difference", "state")}
        for row in spent.table("budget", "budgets")["rows"]
    }
    assert budgets[("org", "maple-bank")]["spent"] == str(cents(spent.cad))
    assert {row["difference"] for row in budgets.values()} == {"0.00"}
    assert budgets[("app", "pocket")]["spent"] == "0.00"
    teller = sum((one.spend_nano for one in spent.by_app["teller"]), Decimal(0)) / NANO
    assert budgets[("team", "branch")]["ledger"] == str(cents(teller))


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_says_the_same(spent: Month, kind: str) -> None:
    """What openpyxl, pyarrow, pypdf and csv read is what the JSON says, cell by cell, total included."""
    first = json.loads(spent.report(kind, section="spend" if kind == "spend" else ""))["sections"][0]
    columns = [(one["name"], one["kind"]) for one in first["columns"]]
    rows = [[row[name] for name, _ in columns] for row in first["rows"]]
    total = None if first["total"] is None else [first["total"][name] for name, _ in columns]
    assert rows
    lines = rows if total is None else [*rows, total]
    for form in ("csv", "xlsx", "parquet"):
        found, foot = READ[form](spent.report(kind, form), [name for name, _ in columns])
        assert [same(row, columns) for row in found] == [same(row, columns) for row in rows], (kind, form)
        assert (foot is None) == (total is None), (kind, form)
        if foot is not None and total is not None:
            # The first column of a foot is its label.
            assert same(foot, columns)[1:] == same(total, columns)[1:], (kind, form)
    shown = [
        f"{Decimal(cell):,}"
        for row in lines
        for (name, how), cell in zip(columns, row, strict=True)
        if how == "money" and cell is not None
    ]
    pdf = pypdf.PdfReader(io.BytesIO(spent.report(kind, "pdf")))
    printed = "\n".join(page.extract_text() for page in pdf.pages).split()
    in_order(shown, printed)
    in_order(shown, spent.report(kind, "table").decode().split())


def same(row: list[Any], columns: list[tuple[str, str]]) -> list[object]:
    """Return cells as values that compare across formats: numbers as exact decimals, text as it is."""
    found: list[object] = []
    for cell, (_, kind) in zip(row, columns, strict=True):
        if cell is None or cell == "":
            found.append(None)
        elif kind in {"text", "date"}:
            found.append(str(cell))
        else:
            found.append(Decimal(str(cell)).normalize())
    return found


def in_order(wanted: list[str], words: list[str]) -> None:
    """Assert that amounts stand in a text one after the other."""
    left = iter(words)
    for amount in wanted:
        assert amount in left, f"{amount} of {wanted} is not in {words}"


Read = tuple[list[list[Any]], list[Any] | None]


def read_csv(data: bytes, names: list[str]) -> Read:
    """Return rows and foot of a CSV."""
    lines = list(csv.DictReader(io.StringIO(data.decode())))
    assert {line["kind"] for line in lines} <= {"row", "total"}
    found = [
        (line["kind"], [line[name if name in line else OLD_NAMES[name]] for name in names]) for line in lines
    ]
    return [row for kind, row in found if kind == "row"], next((r for k, r in found if k == "total"), None)


def read_xlsx(data: bytes, names: list[str]) -> Read:
    """Return rows and foot of the first sheet."""
    sheet = openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]
    lines = [list(line)[: len(names)] for line in sheet.iter_rows(min_row=5, values_only=True)]
    table = lines[: next((at for at, line in enumerate(lines) if not any(line)), len(lines))]
    foot = table.pop() if table[-1][0] == "TOTAL" else None
    return table, foot


def read_parquet(data: bytes, names: list[str]) -> Read:
    """Return the rows, and the foot that the metadata has."""
    table = pq.read_table(io.BytesIO(data))
    assert table.column_names == names
    told = json.loads((table.schema.metadata or {}).get(b"borderpost.total", b"null"))
    foot = None if not told else [told.get(name) for name in names]
    return [[row[name] for name in names] for row in table.to_pylist()], foot


READ: Final = {"csv": read_csv, "xlsx": read_xlsx, "parquet": read_parquet}


def test_focus_sums_to_the_nano_unit(spent: Month) -> None:
    """CSV and Parquet: billed cost is the meters' USD, spend cost their CAD, to the billionth; per vendor."""
    lines = list(csv.DictReader(io.StringIO(spent.report("focus", "csv").decode())))
    table = pq.read_table(io.BytesIO(spent.report("focus", "parquet"))).to_pylist()
    for rows in (lines, table):
        assert sum(Decimal(row["BilledCost"]) for row in rows) == spent.usd
        assert sum(Decimal(row["x_SpendCost"]) for row in rows) == spent.cad
        for place in PRICES:
            at = sum((one.nano for one in spent.metered if one.place == place), Decimal(0)) / NANO
            assert sum(Decimal(row["BilledCost"]) for row in rows if row["ResourceId"] == place) == at


# --------------------------------------------------------------------- the vendors' bills


def take_in_bills(spent: Month) -> None:
    """The month is over and both bills are in: one at another price for output, one as agreed."""
    spent.hours_after_its_end(2)
    folder = spent.running.folder
    day = int(datetime.fromisoformat(f"{spent.name}-15T00:00:00+00:00").timestamp())
    ours = [one for one in spent.metered if one.place == "ca"]
    counts = {"input": sum(one.input for one in ours), "output": sum(one.output for one in ours)}
    unit = {"input": PRICES["ca"][0], "output": BILLED_OUTPUT}
    results = [
        {
            "object": "organization.costs.result",
            "amount": {"value": "@" + meter, "currency": "usd"},
            "line_item": f"fake-1, {meter}",
            "project_id": "proj_bank",
            "quantity": count,
        }
        for meter, count in counts.items()
    ]
    page = {
        "data": [{"start_time": day, "end_time": day + 86_400, "results": results}],
        "has_more": False,
    }
    exact = json.dumps(page)
    for meter, count in counts.items():  # as numbers with all their digits, which no float has
        exact = exact.replace(f'"@{meter}"', f"{count * unit[meter] / 1_000_000:f}")
    (folder / "costs.json").write_text(exact)
    theirs = [one for one in spent.metered if one.place == "ca_on"]
    lines = ["Tag;Modell;Art;Menge;Betrag"]
    for meter, at in (("input", 0), ("output", 1)):
        count = sum(getattr(one, meter) for one in theirs)
        amount = f"{count * PRICES['ca_on'][at] / 1_000_000:f}".replace(".", ",")
        lines.append(f"15.{spent.name[5:]}.{spent.name[:4]};Fake 1;{meter};{count};{amount}")
    (folder / "bill.csv").write_text("\n".join(lines) + "\n")
    (folder / "mapping.yaml").write_text(
        "columns: {start: Tag, model: Modell, meter: Art, quantity: Menge, amount: Betrag}\n"
        'time: {format: "%d.%m.%Y", timezone: UTC, window: day}\n'
        'currency: USD\ndelimiter: ";"\ndecimal: ","\nthousands: "."\n'
        "meters: {input: input, output: output}\n"
    )
    took = spent.ok(
        "reconcile", "import", folder / "costs.json", "--from", "openai-costs", "--vendor", "vendor-ca"
    )
    assert took.startswith("imported: ")
    spent.ok(
        "reconcile", "import", folder / "bill.csv", "--from", "csv", "--vendor", "vendor-ca_on",
        "--mapping", folder / "mapping.yaml",
    )  # fmt: skip


def dearer(spent: Month) -> Decimal:
    """Return what the bill asks beyond the agreed price, in USD."""
    count = sum(one.output for one in spent.metered if one.place == "ca")
    return count * (BILLED_OUTPUT - PRICES["ca"][1]) / 1_000_000


@pytest.fixture(scope="module")
def adjusted(spent: Month) -> tuple[Month, dict[str, Any]]:
    """The month is over, both bills are in, and what differs is booked."""
    return spent, adjust(spent)


def adjust(billed: Month) -> dict[str, Any]:
    """What reconciliation found, and the one difference booked, by finance, over HTTP."""
    take_in_bills(billed)
    found = {one["vendor"]: one for one in billed.http("reconcile", month=billed.name).json()["bills"]}
    [case] = found["vendor-ca"]["exceptions"]
    url = f"reconcile/exceptions/{case['id']}/adjust"
    reason = {"reason": "price sheet came late"}
    for token, status in ((billed.tokens["auditor"], 403), (billed.app_key, 401), ("", 401)):
        assert (
            billed.http(url, method="POST", token=token, month=billed.name, body=reason).status_code == status
        )
    done = billed.http(url, method="POST", month=billed.name, body=reason)
    assert done.status_code == 200, done.text
    assert done.json()["entries"] >= 1
    again = billed.http(url, method="POST", month=billed.name, body=reason)
    assert again.status_code == 404, again.text  # it is not open any more, and nothing is booked twice
    return found


def booked(spent: Month) -> Decimal:
    """Return what entries beside the attempts sum to, in CAD."""
    rows = spent.running.rows("SELECT spend_nano FROM ledger_entries")
    return sum((Decimal(int(str(row["spend_nano"]))) for row in rows), Decimal(0)) / NANO


def test_the_bill_is_dearer_and_the_report_says_why(adjusted: tuple[Month, dict[str, Any]]) -> None:
    """The cause is the price of output, with both prices, and the amount is the one seeded, to the cent."""
    spent, found = adjusted
    bill = found["vendor-ca"]
    assert Decimal(bill["gap"]) == cents(dearer(spent))
    assert {cause: Decimal(amount) for cause, amount in bill["causes"].items() if Decimal(amount)} == {
        "price": cents(dearer(spent))
    }
    [case] = bill["exceptions"]
    assert (case["status"], case["cause"], case["day"]) == ("open", "price", f"{spent.name}-15")
    assert "output 4500 on the bill, 4321.987 in ours, per million" in case["says"]
    assert "input" not in case["says"]
    assert found["vendor-ca_on"]["exceptions"] == []
    assert Decimal(found["vendor-ca_on"]["gap"]) == 0
    said = spent.ok("reconcile", "status", "--month", spent.name)
    assert "adjusted: booked already" in said
    assert "gap +0.00" in said or "gap 0.00" in said


def test_an_adjustment_is_in_every_report(adjusted: tuple[Month, dict[str, Any]]) -> None:
    """The ledger says what the bill says, in every report alike, shared over those who used the model."""
    spent, _ = adjusted
    assert abs(booked(spent) - dearer(spent) * RATE) <= 3 / NANO
    foots(spent, spent.cad + booked(spent))
    by_kind = {
        row["charge_kind"]: row["spend"]
        for row in json.loads(spent.report("spend", by="charge_kind"))["rows"]
    }
    assert by_kind == {"usage": str(cents(spent.cad)), "adjust": str(cents(dearer(spent) * RATE))}
    shares = spent.running.rows("SELECT app, SUM(nano) AS nano FROM ledger_entries GROUP BY app")
    assert {str(row["app"]) for row in shares} == {"teller", "hackathon", "short"}
    for row in shares:
        ours = sum(one.nano for one in spent.by_app[str(row["app"])] if one.place == "ca")
        everybody = sum(one.nano for one in spent.metered if one.place == "ca")
        fair = dearer(spent) * NANO * ours / everybody
        assert abs(int(str(row["nano"])) - fair) <= 1, row


# ----------------------------------------------------------------------- closing the books


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A closed month: its hash, and the reports as they were filed."""

    spent: Month
    sha256: str
    cad: Decimal
    filed: Mapping[str, bytes]


FILED: Final = ("spend", "chargeback", "unit-cost", "focus")


@pytest.fixture(scope="module")
def closed(adjusted: tuple[Month, dict[str, Any]]) -> Closed:
    """The month, closed by finance once the gateway has said that nothing of it is left."""
    spent, _ = adjusted
    return close(spent)


def close(spent: Month) -> Closed:
    """Close the month over HTTP."""
    url = f"books/{spent.name}/close"
    assert spent.http(url, method="POST", token=spent.tokens["auditor"]).status_code == 403
    assert spent.http(url, method="POST", token=spent.app_key).status_code == 401
    last: list[httpx.Response] = []

    def done() -> bool:
        last[:] = [spent.http(url, method="POST")]
        return last[0].status_code == 200

    eventually(done, 60, lambda: last[0].text)
    return Closed(
        spent=spent,
        sha256=str(last[0].json()["sha256"]),
        cad=spent.cad + booked(spent),
        filed={kind: spent.report(kind, "csv") for kind in FILED},
    )


def test_closing_again_gives_the_same_hash(closed: Closed) -> None:
    """On the command line as over HTTP; the statement hashes to it, and the check of all hashes is clean."""
    spent = closed.spent
    assert f"sha256  {closed.sha256}" in spent.ok("books", "close", spent.name)
    statement = spent.http(f"books/{spent.name}/statement", token=spent.tokens["auditor"])
    assert statement.headers["x-statement-sha256"] == hashlib.sha256(statement.content).hexdigest()
    assert statement.headers["x-books-sha256"] == statement.json()["sha256"] == closed.sha256
    assert spent.ok("books", "statement", spent.name).encode() == statement.content
    spent.ok("books", "verify")
    assert json.loads(closed.spent.report("spend"))["status"] == "closed"


def test_finance_sees_over_http_what_the_command_line_writes(closed: Closed) -> None:
    """Byte for byte, the closed month's files; an app's key and nobody get 401, an auditor reads."""
    spent = closed.spent
    folder = spent.running.folder

    def written(kind: str) -> bytes:
        out = folder / f"{kind}.csv"
        spent.ok("report", kind, "--month", spent.name, "--format", "csv", "--output", out)
        return out.read_bytes()

    def sheet() -> bytes:
        out = folder / "budget.xlsx"
        spent.ok("report", "budget", "--month", spent.name, "--format", "xlsx", "--output", out)
        return out.read_bytes()

    with ThreadPoolExecutor(2) as pool:
        book = pool.submit(sheet)
        files = dict(zip(FILED, pool.map(written, FILED), strict=True))
    assert files == dict(closed.filed)
    names = [one["name"] for one in spent.table("budget", "budgets")["columns"]]
    assert read_xlsx(book.result(), names) == read_xlsx(spent.report("budget", "xlsx"), names)
    for token, status in ((spent.tokens["auditor"], 200), (spent.app_key, 401), ("nonsense", 401), ("", 401)):
        for path in ("reports/spend", "reports/focus", "reconcile", f"books/{spent.name}"):
            got = spent.http(path, token=token, **({"month": spent.name} if "books" not in path else {}))
            assert got.status_code == status, (path, got.text)


def test_what_comes_late_stands_in_the_open_month(closed: Closed) -> None:
    """A correction of a closed month's call is the next month's; what was filed stays, byte for byte."""
    spent = closed.spent
    after = following(spent.name)
    one = next(row for row in spent.running.ledger(9) if row["app"] == "hackathon")
    right = Decimal("0.02")
    less = right - Decimal(int(str(one["nano"]))) / NANO
    command = (
        "books",
        "correct",
        "--attempt",
        str(one["attempt_id"]),
        "--to",
        str(right),
        "--reason",
        "note 99",
    )
    said = spent.ok(*command)
    assert f"booked {less:.9f} USD" in said
    assert f"in {after}" in said
    assert "nothing was booked" in spent.ok(*command)
    corrections = spent.table("chargeback", "corrections", after)
    [row] = corrections["rows"]
    assert Decimal(json.loads(spent.report("spend", name=after))["total"]["spend"]) == cents(less * RATE)
    assert row["kind"] == "correction"
    assert {kind: spent.report(kind, "csv") for kind in FILED} == dict(closed.filed)
    foots(spent, closed.cad, by_day=closed.cad + less * RATE)
    assert spent.http(f"books/{spent.name}/close", method="POST").json()["sha256"] == closed.sha256
    spent.ok("books", "verify")


def test_a_row_that_was_tampered_with_is_refused_or_found(closed: Closed) -> None:
    """The database refuses to change a closed row; past its trigger, the check names the row."""
    tamper(closed.spent, "DROP TRIGGER ledger_closed_no_update")


def tamper(spent: Month, past_the_trigger: str) -> None:
    """Change a row of the closed month as somebody would who has the database, then as its owner."""
    row = spent.running.ledger(9)[0]
    which = {"id": row["attempt_id"]}
    change = text("UPDATE ledger SET spend_nano = spend_nano - 1 WHERE attempt_id = :id")
    store = Store(spent.running.database_url)
    try:
        for refused in (change, text("DELETE FROM ledger WHERE attempt_id = :id")):
            with pytest.raises(DBAPIError, match="the books only grow"), store.write() as connection:
                connection.execute(refused, which)
        assert spent.running.ledger(9)[0] == row
        assert holds(spent)["holds"] is True
        with store.write() as connection:
            connection.execute(text(past_the_trigger))
            connection.execute(change, which)
    finally:
        store.close()
    found = spent.run("books", "verify")
    assert found.returncode == 1
    assert str(row["attempt_id"]) in found.stdout + found.stderr
    shown = holds(spent)
    assert shown["holds"] is False
    assert str(row["attempt_id"]) in json.dumps(shown)


def holds(spent: Month) -> dict[str, Any]:
    """Return what the check of the month's hash says over HTTP, to an auditor."""
    found: dict[str, Any] = spent.http(f"books/{spent.name}/verify", token=spent.tokens["auditor"]).json()
    return found


def test_the_same_month_on_postgresql(places: Places, postgres_url: str, tmp_path: Path) -> None:
    """The other database: the meters' totals, the bill's difference, the close, the changed row."""
    store = Store(postgres_url)
    migrate(store)
    store.close()
    with bank_of(places, tmp_path, BORDERPOST_DATABASE_URL=postgres_url) as spent:
        foots(spent, spent.cad)
        bill = adjust(spent)["vendor-ca"]
        assert (bill["exceptions"][0]["cause"], Decimal(bill["gap"])) == ("price", cents(dearer(spent)))
        foots(spent, spent.cad + booked(spent))
        closed = close(spent)
        assert spent.http(f"books/{spent.name}/close", method="POST").json()["sha256"] == closed.sha256
        tamper(spent, "ALTER TABLE ledger DISABLE TRIGGER ledger_closed")
