"""Changes of budgets and prices as stored: in order, one organisation's own."""

from __future__ import annotations

from gateway.adapters.store_sql.money_changes import MoneyChange, add, last, listed
from tests.bookkeeping import database


def change(bundle: str, tenant: str = "maple") -> MoneyChange:
    return MoneyChange(
        tenant=tenant, bundle=bundle, replaces="", money="m", at_us=1, author="", by="x", approved_by="[]",
        changes="[]",
    )  # fmt: skip


def test_the_last_one_counts(request, tmp_path):
    """By when it was recorded; another organisation's is not ours."""
    for kind in ("sqlite", "postgresql"):
        with database(kind, request, tmp_path / kind if kind == "postgresql" else tmp_path) as store:
            with store.write() as connection:
                assert last(connection, "maple", to_add=True) is None
                for item in (change("b1"), change("b2"), change("b3", "birch")):
                    add(connection, item)
            with store.read() as connection:
                found = last(connection, "maple")
                assert found is not None
                assert found.bundle == "b2"
                assert [item.bundle for item in listed(connection, "maple")] == ["b1", "b2"]
