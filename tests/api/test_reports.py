"""The spend report over HTTP: for finance, in three formats, with the command line's numbers."""

from __future__ import annotations

import pytest

from gateway.api.reports import ReportDeps, router
from gateway.reports.render import FORMATS
from gateway.reports.spend import DEFAULT_BY, query
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, book, database, row, snapshot, sqlite


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


@pytest.mark.parametrize(
    ("query_text", "param"), [("by=colour", "by"), ("month=soon", "month"), ("format=pdf", "format")]
)
async def test_a_wrong_parameter_is_named(bank, query_text, param):
    """400 with the name of what to mend."""
    client, _ = bank
    answer = await client.get(f"/v1/reports/spend?{query_text}", headers=as_role("finance"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_without_the_role_nothing_is_told(bank):
    """Spend is not for everybody."""
    client, _ = bank
    assert (await client.get("/v1/reports/spend")).status_code == 401
