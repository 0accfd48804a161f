"""Bills over HTTP: taken in by finance, read by auditors, decided with a reason."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select

from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.store_sql.tables import admin_log
from gateway.api.reconcile import ReconcileDeps, router
from gateway.core.bill import Billing
from gateway.core.snapshot import Rate
from tests.adapters.vendor_costs.bank import PRICE, call
from tests.api.desk_under_test import ADMIN, CLOCK, as_role, client_of, issue_id
from tests.people import NOW, book, database, snapshot, sqlite

RATE = Rate(base="USD", quote="CAD", rate=Decimal("1.4"), valid_from=0, source="t")
BANK = snapshot(timezone="UTC", rates=(RATE,), billing={"microsoft": Billing(vendor="microsoft")})
TOKENS = {"input": 2_000_000, "output": 500_000}
AZURE = "date,costInBillingCurrency,billingCurrency,meterCategory,meterName,quantity,unitOfMeasure\n"


def bill(output="1.76"):
    rows = []
    for day in range(1, 4):
        rows.append(f"2026-10-{day:02d},0.88,USD,Azure OpenAI,gpt 4.1 mini Inp Tokens,2000,1K")
        cost = f"{float(output) / 2:.2f}"
        rows.append(f"2026-10-{day:02d},{cost},USD,Azure OpenAI,gpt 4.1 mini Outp Tokens,500,1K")
    return AZURE + "\n".join(rows) + "\n"


@pytest.fixture
async def bank(tmp_path):
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            book(connection, *(call(f"c{day}", day * 24 + 9, TOKENS, price=PRICE) for day in range(3)))
        journal = MemoryJournal(now=lambda: NOW)
        deps = ReconcileDeps(
            tokens=ADMIN, store=store, snapshot=lambda: BANK, clock=CLOCK, issue_id=issue_id, journal=journal
        )
        async with client_of(router(deps)) as client:
            client.journal = journal
            yield client, store


async def take(client, text, *, role="finance", source="azure", vendor="microsoft", **more):
    names = {"source": source, "vendor": vendor, "file": "bill.csv", **more}
    return await client.post("/v1/reconcile/imports", params=names, content=text, headers=as_role(role))


async def month(client, role="finance"):
    answer = await client.get("/v1/reconcile?month=2026-10", headers=as_role(role))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_bill_is_taken_in_once_and_matched(bank):
    client, _ = bank
    assert (await month(client))["without_bill"] == [
        {"vendor": "microsoft", "currency": "USD", "ledger": "5.28"}
    ]
    first, second = await take(client, bill()), await take(client, bill())
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["import"] == second.json()["import"]
    (found,) = (await month(client, "auditor"))["bills"]
    assert (found["bill"], found["ledger"], found["gap"], found["exceptions"]) == ("5.28", "5.28", "0.00", [])


async def test_a_difference_is_accepted_or_booked_with_a_reason(bank):
    client, store = bank
    await take(client, bill("2.00"))
    (found,) = (await month(client))["bills"]
    one, two, three = (each["id"] for each in found["exceptions"])
    assert found["causes"] == {"price": "0.36"}
    path = "/v1/reconcile/exceptions/{}/{}?month=2026-10"
    why = {"reason": "price sheet of October"}
    done = await client.post(path.format(one, "accept"), json=why, headers=as_role("finance"))
    assert done.status_code == 200, done.text
    assert done.json()["entries"] == 0
    done = await client.post(path.format(two, "adjust"), json=why, headers=as_role("finance"))
    assert (done.status_code, done.json()["entries"]) == (200, 1)
    again = await client.post(path.format(two, "adjust"), json=why, headers=as_role("finance"))
    assert again.status_code == 404
    for body in (b"{}", b"no", b'{"reason": "x"}', b'{"reason": 5}'):
        bad = await client.post(path.format(three, "accept"), content=body, headers=as_role("finance"))
        assert (bad.status_code, bad.json()["error"]["param"]) == (400, "reason")
    (after,) = (await month(client))["bills"]
    assert {each["status"] for each in after["exceptions"]} == {"accepted", "adjusted", "open"}
    assert after["gap"] == "0.24"
    with store.read() as connection:
        logged = connection.execute(
            select(admin_log.c.action, admin_log.c.actor).order_by(admin_log.c.id)
        ).all()
    assert [entry.kind for entry in client.journal.entries[1:]] == [
        "reconcile.imported", "reconcile.accepted", "reconcile.adjusted",
    ]  # fmt: skip
    assert client.journal.entries[-1].data["amount"] == "0.120000000"
    assert [tuple(row) for row in logged] == [
        ("reconcile.imported", "a-finance"),
        ("reconcile.accepted", "a-finance"),
        ("reconcile.adjusted", "a-finance"),
    ]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"source": "guess"}, "source"),
        ({"source": "csv"}, "source"),
        ({"vendor": "nobody"}, "vendor"),
        ({"file": "../x"}, "file"),
    ],
)
async def test_a_wrong_parameter_is_named(bank, change, param):
    client, _ = bank
    answer = await take(client, bill(), **change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_bad_file_names_its_row_and_leaves_nothing(bank):
    client, _ = bank
    answer = await take(client, bill().replace("0.88", "NaN", 1))
    assert answer.status_code == 400
    assert "bill.csv:2: `costInBillingCurrency` is `NaN`" in answer.json()["error"]["message"]
    assert (await month(client))["bills"] == []


@pytest.mark.parametrize("role", ["auditor", None])
async def test_only_finance_changes_anything(bank, role):
    client, _ = bank
    headers = as_role(role) if role else {}
    posted = await client.post(
        "/v1/reconcile/imports?source=azure&vendor=microsoft", content=b"x", headers=headers
    )
    decided = await client.post("/v1/reconcile/exceptions/x1/accept", json={"reason": "why"}, headers=headers)
    assert {posted.status_code, decided.status_code} <= {401, 403}


async def test_a_month_that_is_none_is_named(bank):
    client, _ = bank
    answer = await client.get("/v1/reconcile?month=soon", headers=as_role("finance"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "month")


async def test_what_the_journal_could_not_note_is_said(bank):
    """It stands: the import is there."""
    client, _ = bank
    client.journal.failing = True
    answer = await take(client, bill())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "journal_unavailable")
    assert len((await month(client))["bills"]) == 1
