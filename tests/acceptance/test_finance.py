"""Finance: one month, two apps, two vendors, failures; every report ties out to the vendors' own meters.

Prices are a thousand times the usual ones, so that a few calls are whole dollars.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import anthropic
import httpx
import openai
import pytest

from gateway.adapters.store_sql.reports import GROUPINGS
from tests.acceptance import bank
from tests.acceptance.commands import admin_tokens, on
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
INPUT, OUTPUT = Decimal(1000), Decimal(4000)  # USD per million tokens
RATE = Decimal("1.3925")
NANO = Decimal(10) ** 9
CENT = Decimal("0.01")
MONTH = datetime.now(UTC).astimezone(ZoneInfo("America/Toronto")).strftime("%Y-%m")
ASKED: Any = [{"role": "user", "content": "What does a mortgage cost?"}]


@dataclass(frozen=True, slots=True)
class Books:
    """A gateway after the month's calls, and what the vendors would bill."""

    running: Running
    tokens: dict[str, str]
    billed: list[tuple[int, int]]  # input, output of each answered attempt whose usage arrived
    unreported: tuple[int, int]  # of the one whose usage never arrived

    @property
    def exact(self) -> list[Decimal]:
        """What the vendors bill for what they reported, priced by hand, per attempt in USD."""
        return [(i * INPUT + o * OUTPUT) / 1_000_000 for i, o in self.billed]


@pytest.fixture(scope="module")
def books(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Eight calls: two apps, three surfaces, a fallback, a vendor's 400, a refusal, a lost usage."""
    folder = tmp_path_factory.mktemp("books")
    files = bank.bundle(places)
    files["prices/all.yaml"] = [bank.price(name, inputs=str(INPUT), outputs=str(OUTPUT)) for name in places]
    bank.write(folder / "policies", files)
    file, tokens = admin_tokens(folder, "finance", "auditor", "admin")
    running = Running(
        folder=folder,
        policies=folder / "policies",
        settings={"BORDERPOST_ADMIN_TOKEN_FILE": str(file)},
    )
    try:
        running.start()
        yield spend(running, tokens, places)
    finally:
        running.kill()


def spend(running: Running, tokens: dict[str, str], places: Places) -> Books:
    """Make the calls with the SDKs, and wait until the ledger has them."""
    ca, ca_on, us = places["ca"], places["ca_on"], places["us"]
    teller, hackathon = running.key("teller"), running.key("hackathon")
    with (
        openai.OpenAI(base_url=f"{running.url}/v1", api_key=teller, max_retries=0) as gpt,
        anthropic.Anthropic(base_url=running.url, api_key=teller, max_retries=0) as claude,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key=hackathon, max_retries=0) as lab,
    ):
        gpt.chat.completions.create(model="chat", messages=ASKED)  # 1: Quebec
        claude.messages.create(model="only-ca-on", max_tokens=50, messages=ASKED)  # 2: Ontario
        with gpt.responses.stream(model="only-ca", input="In French?") as events:  # 3: streamed
            events.until_done()
        ca.script(Script(status=503))
        gpt.chat.completions.create(model="chat", messages=ASKED)  # 4: falls back, two attempts
        gpt.embeddings.create(model="only-ca", input="a letter")  # 5: no output tokens
        with pytest.raises(openai.PermissionDeniedError):
            gpt.chat.completions.create(model="chat-pro", messages=ASKED)  # refused: not in any report
        ca.script(Script(status=400))
        with pytest.raises(openai.BadRequestError):
            gpt.chat.completions.create(model="only-ca", messages=ASKED)  # 6: the vendor bills nothing
        for _ in lab.chat.completions.create(model="only-us", messages=ASKED, stream=True):  # 7: abroad
            pass
        us.script(Script(usage="omitted"))
        lab.chat.completions.create(model="only-us", messages=ASKED, max_tokens=40)  # 8: usage lost
    running.ledger(9)
    running.wait_nothing_held(20)
    lost = us.seen[-1].billed
    answered = [seen for vendor in (ca, ca_on, us) for seen in vendor.seen if seen.billed.calls]
    return Books(
        running=running,
        tokens=tokens,
        billed=[
            (seen.billed.input, 0 if seen.dialect == "embeddings" else seen.billed.output)
            for seen in answered
            if seen.billed is not lost
        ],
        unreported=(lost.input, lost.output),
    )


def report(books: Books, by: str, form: str = "json", role: str = "finance") -> httpx.Response:
    """Return the month's report over HTTP."""
    return httpx.get(
        f"{books.running.url}/v1/reports/spend",
        params={"by": by, "month": MONTH, "format": form},
        headers={"authorization": f"Bearer {books.tokens[role]}"},
        trust_env=False,
    )


def cents(amount: Decimal) -> Decimal:
    """Return an amount rounded to the cent."""
    return amount.quantize(CENT, ROUND_HALF_EVEN)


def test_the_ledger_is_the_vendors_meter_priced_by_hand(books: Books) -> None:
    """Every attempt is one row; what a vendor reported is charged to the billionth, once."""
    rows = books.running.ledger(9)
    assert len(rows) == 9
    charged = sorted(int(str(row["nano"])) for row in rows if row["nano"] and not row["estimated"])
    assert charged == sorted(int(amount * NANO) for amount in books.exact)
    for row in rows:
        if row["nano"] is not None:
            converted = (Decimal(int(str(row["nano"]))) * RATE).to_integral_value(ROUND_HALF_EVEN)
            assert abs(int(str(row["spend_nano"])) - converted) <= 1
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(failed) == 2
    assert not any(row["nano"] for row in failed)


def test_what_never_arrived_is_estimated_and_never_too_low(books: Books) -> None:
    """The attempt without usage is booked at its hold, apart, and not below the vendor's meter."""
    (row,) = [row for row in books.running.ledger(9) if row["estimated"]]
    inputs, outputs = books.unreported
    meter = (inputs * INPUT + outputs * OUTPUT) / 1_000_000
    assert int(str(row["nano"])) >= int(meter * NANO) > 0
    assert row["app"] == "hackathon"
    by_app = {line["app"]: line for line in report(books, "app").json()["rows"]}
    assert Decimal(by_app["hackathon"]["estimated"]) == cents(Decimal(int(str(row["spend_nano"]))) / NANO)
    assert by_app["teller"]["estimated"] == "0.00"


def test_every_grouping_and_format_has_the_same_foot(books: Books) -> None:
    """Table, CSV and JSON, over HTTP and on the command line, by anything: one total, to the cent."""
    rows = books.running.ledger(9)
    usd = cents(sum(Decimal(int(str(r["nano"] or 0))) for r in rows) / NANO)
    cad = cents(sum(Decimal(int(str(r["spend_nano"] or 0))) for r in rows) / NANO)
    for by in [*GROUPINGS, ",".join(GROUPINGS), "cost_centre,team,app,model,place", "place,vendor"]:
        body = report(books, by).json()
        total = body["total"]
        assert (Decimal(total["native"]["USD"]), Decimal(total["spend"])) == (usd, cad), by
        assert (total["calls"], total["attempts"]) == (8, 9), by
        assert sum(Decimal(line["native"]["USD"]) for line in body["rows"]) == usd, by
        for column in ("spend", "estimated"):
            assert sum(Decimal(line[column]) for line in body["rows"]) == Decimal(total[column]), (by, column)
        assert sum(line["calls"] for line in body["rows"]) == 8
        assert sum(line["attempts"] for line in body["rows"]) == 9
    for form in ("table", "csv", "json"):
        done = on(books.running, "report", "spend", "--by", "team,app", "--month", MONTH, "--format", form)
        assert done.returncode == 0, done.stderr
        assert foot(done.stdout, form) == (usd, cad)
        assert foot(report(books, "team,app", form).text, form) == (usd, cad)


def foot(text: str, form: str) -> tuple[Decimal, Decimal]:
    """Return the total of a report in a format: USD and CAD."""
    if form == "json":
        total = json.loads(text)["total"]
        return Decimal(total["native"]["USD"]), Decimal(total["spend"])
    if form == "csv":
        (total,) = [line for line in csv.DictReader(io.StringIO(text)) if line["kind"] == "total"]
        return Decimal(total["usd"]), Decimal(total["cad"])
    words = next(line for line in text.splitlines() if line.startswith("TOTAL")).replace(",", "").split()
    return Decimal(words[2]), Decimal(words[3])


def test_a_table_for_people(books: Books) -> None:
    """Head and rows as finance reads them: period, rate with its source, budget, cost centre."""
    done = on(books.running, "report", "spend", "--by", "cost_centre,team,app", "--month", MONTH)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Spend · maple-bank · {MONTH} America/Toronto · OPEN to ")
    assert lines[0].endswith("· not invoiced")
    assert "CAD, tax excluded · USD/CAD 1.3925, fixed 2026-01-01, Bank of Canada · prices " in lines[1]
    assert lines[2] == "8 calls · 9 attempts, all priced · held now 0.00 (not spend)"
    assert lines[3].split() == ["cost_centre", "team", "app", "calls", "usd", "cad", "estimated", "budget"]
    branch, lab, total = (line.split() for line in lines[4:])
    assert (branch[:4], branch[-1]) == (["4410", "branch", "teller", "6"], "2,500.00")
    assert (lab[:4], lab[-1]) == (["4900", "lab", "hackathon", "2"], "300.00")
    assert (total[0], total[-1]) == ("TOTAL", "2,800.00")


def test_a_fallback_is_paid_where_it_was_answered(books: Books) -> None:
    """By place: the failed try in Quebec counts as an attempt, its call and cost stand in Ontario."""
    rows = {line["place"]: line for line in report(books, "place").json()["rows"]}
    assert rows["CA-ON"]["calls"] == 2
    assert rows["CA-QC"]["attempts"] == rows["CA-QC"]["calls"] + 1
    assert set(rows) == {"CA-QC", "CA-ON", "US"}


def test_who_may_read(books: Books) -> None:
    """Finance and auditors read; an app's key, no key or a wrong grouping get a clear no."""
    url = f"{books.running.url}/v1/reports/spend"
    assert report(books, "app", role="auditor").status_code == 200
    assert report(books, "app", role="admin").status_code == 200
    assert httpx.get(url, trust_env=False).status_code == 401
    key = books.running.key("teller")
    with_key = httpx.get(url, headers={"authorization": f"Bearer {key}"}, trust_env=False)
    assert with_key.status_code == 401
    wrong = report(books, "colour")
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "by"
    assert "cost_centre" in wrong.json()["error"]["message"]
    assert report(books, "app").headers["cache-control"] == "no-store"


def test_an_empty_month(books: Books) -> None:
    """A month without calls is a report of nothing, not an error; nonsense is a sentence."""
    done = on(books.running, "report", "spend", "--month", "2026-02")
    assert done.returncode == 0
    assert "0 calls · 0 attempts" in done.stdout
    wrong = on(books.running, "report", "spend", "--month", "Nov")
    assert wrong.returncode == 2
    assert "`Nov`" in wrong.stderr
    assert "Traceback" not in wrong.stderr


BOOKED = "SELECT attempt_id, cost_centre, spend_nano FROM ledger"


def test_moving_a_team_does_not_rewrite_history(books: Books, places: Places) -> None:
    """A new cost centre holds from the next call on; what was booked stays where it was.

    The last test of the module: it adds calls.
    """
    files = bank.bundle(places)
    files["prices/all.yaml"] = [bank.price(n, inputs=str(INPUT), outputs=str(OUTPUT)) for n in places]
    files["teams.yaml"]["teams"]["lab"]["cost_centre"] = [{"code": "7777", "from": "2026-01-01"}]
    before = report(books, "cost_centre,team").json()["rows"]
    booked = books.running.rows(BOOKED)
    assert {row["cost_centre"] for row in booked} == {"4410", "4900"}
    bank.write(books.running.policies, files)
    with openai.OpenAI(base_url=f"{books.running.url}/v1", api_key=books.running.key("hackathon")) as lab:

        def moved() -> bool:
            lab.chat.completions.create(model="only-us", messages=ASKED)
            after = report(books, "cost_centre,team").json()["rows"]
            return [(line["cost_centre"], line["team"]) for line in after][-1] == ("7777", "lab")

        eventually(moved, 10)
    after = report(books, "cost_centre,team").json()["rows"]
    assert after[0] == before[0]
    assert after[1]["cost_centre"] == before[1]["cost_centre"] == "4900"
    # In nano-units, since a new row may take a presented cent by largest remainder.
    now = {row["attempt_id"]: row for row in books.running.rows(BOOKED)}
    assert all(now[row["attempt_id"]] == row for row in booked)
