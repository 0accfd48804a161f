"""The spend report over HTTP: for finance, in three formats, with the command line's numbers."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal

import openpyxl
import pytest

from gateway.api.reports import ReportDeps, router
from gateway.reports import asking
from gateway.reports.render import FORMATS
from gateway.reports.spend import DEFAULT_BY, query
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, book, database, row, snapshot, sqlite
from tests.reports.writers.documents import statement


@pytest.fixture
async def bank(tmp_path):
    """A client of the reports, and the store behind it."""
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            book(connection, row("a/1"), row("b/1", app="hackathon", team="lab", place="US"))
        deps = ReportDeps(tokens=ADMIN, store=store, snapshot=snapshot, clock=CLOCK, issue_id=issue_id)
        async with client_of(router(deps)) as client:
            yield client, store


@pytest.mark.parametrize("form", ["table", "csv", "json"])
async def test_each_format_is_what_the_renderer_gives(bank, form):
    """One query, one report, whoever asks."""
    client, store = bank
    answer = await client.get(f"/v1/reports/spend?month=2026-11&format={form}", headers=as_role("finance"))
    media, render = FORMATS[form]
    with store.read() as connection:
        expected = render(query(snapshot(), month_name="2026-11", by=DEFAULT_BY, now=NOW)(connection))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media
    assert answer.content == (expected if isinstance(expected, bytes) else expected.encode())


async def test_the_default_is_this_month_as_json(bank):
    """In the organisation's time zone."""
    client, _ = bank
    body = (await client.get("/v1/reports/spend?by=place", headers=as_role("auditor"))).json()
    assert (body["period"]["month"], body["status"], body["by"]) == ("2026-11", "open", ["place"])
    assert [line["place"] for line in body["rows"]] == ["CA-QC", "US"]


@pytest.fixture
def made(monkeypatch):
    """Every report is the made-up statement."""
    monkeypatch.setattr(asking, "builder", lambda _: lambda *_: lambda _: statement())


@pytest.mark.parametrize(
    ("query_text", "param"),
    [
        ("by=colour", "by"),
        ("month=soon", "month"),
        ("format=doc", "format"),
        ("section=x&format=xlsx", "section"),
    ],
)
async def test_a_wrong_parameter_is_named(bank, made, query_text, param):
    """400 with the name of what to mend."""
    client, _ = bank
    answer = await client.get(f"/v1/reports/spend?{query_text}", headers=as_role("finance"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_without_the_role_nothing_is_told(bank):
    """Spend is not for everybody."""
    client, _ = bank
    assert (await client.get("/v1/reports/spend")).status_code == 401
    assert (await client.get("/v1/reports/focus")).status_code == 401


@pytest.mark.parametrize("role", ["finance", "auditor", "admin"])
async def test_a_file_is_downloaded_under_its_name(bank, made, role):
    """As an attachment that no cache keeps."""
    client, _ = bank
    answer = await client.get("/v1/reports/chargeback?month=2026-11&format=xlsx", headers=as_role(role))
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="chargeback-2026-11.xlsx"'
    assert answer.headers["cache-control"] == "no-store"
    assert openpyxl.load_workbook(io.BytesIO(answer.content)).worksheets[0]["E9"].value == 2301.40


async def test_an_unknown_report_is_not_found(bank):
    """With those there are."""
    client, _ = bank
    answer = await client.get("/v1/reports/profit", headers=as_role("finance"))
    assert answer.status_code == 404
    assert "spend, budget, chargeback" in answer.json()["error"]["message"]


async def test_what_contradicts_itself_is_not_served(bank, monkeypatch):
    """A fault of ours, said with the section and column."""
    first = statement().sections[0]
    wrong = replace(statement(), sections=(replace(first, rows=first.rows[1:]),))
    monkeypatch.setattr(asking, "builder", lambda _: lambda *_: lambda _: wrong)
    client, _ = bank
    answer = await client.get("/v1/reports/chargeback?format=csv", headers=as_role("finance"))
    assert answer.status_code == 500
    assert "section `cost_centres`: the total of `calls`" in answer.json()["error"]["message"]


async def test_focus_is_streamed_with_its_counts(bank):
    """Its sum is the spend report's."""
    client, _ = bank
    answer = await client.get(
        "/v1/reports/focus?month=2026-11&version=1.4&per=hour", headers=as_role("auditor")
    )
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    spend = (await client.get("/v1/reports/spend?month=2026-11", headers=as_role("auditor"))).json()
    assert sum(Decimal(line["x_SpendCost"]) for line in lines).quantize(Decimal("0.01")) == Decimal(
        spend["total"]["spend"]
    )
    assert sum(Decimal(line["BilledCost"]) for line in lines) == Decimal(spend["total"]["native"]["USD"])
    assert (answer.headers["x-borderpost-charges"], answer.headers["x-borderpost-unpriced-attempts"]) == (
        "2",
        "0",
    )
    assert answer.headers["content-disposition"] == 'attachment; filename="focus-1.4-2026-11.csv"'


@pytest.mark.parametrize(
    ("query_text", "param"),
    [("version=9", "version"), ("per=week", "per"), ("format=xlsx", "format"), ("month=soon", "month")],
)
async def test_a_wrong_parameter_of_focus_is_named(bank, query_text, param):
    """400 with the name of what to mend."""
    client, _ = bank
    answer = await client.get(f"/v1/reports/focus?{query_text}", headers=as_role("finance"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_focus_that_fails_its_check_is_not_served(bank):
    """With the first finding."""
    client, store = bank
    with store.write() as connection:
        book(connection, row("c/1", currency="XXX"))
    answer = await client.get("/v1/reports/focus?month=2026-11", headers=as_role("finance"))
    assert answer.status_code == 500
    assert "`XXX` is no currency of ISO 4217" in answer.json()["error"]["message"]
