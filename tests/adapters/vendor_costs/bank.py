"""What the tests of imports, matches and decisions share: a ledger of one vendor and its exact bill."""

from __future__ import annotations

import json
from decimal import Decimal

from gateway.adapters.vendor_costs.cells import Options
from gateway.adapters.vendor_costs.importing import Asked, take
from gateway.core.bill import BillLine
from tests.people import row

OCTOBER = 1_790_812_800_000_000  # 2026-10-01T00:00Z
HOUR = 3_600_000_000
DAY = 24 * HOUR
PRICE = {"input": "0.44", "output": "1.76", "cache_read": "0.11"}


def call(name, hour, tokens, *, estimated=False, price=PRICE, currency="USD", **changes):
    """A ledger row of the teller: these tokens at these prices a million, lines frozen as we freeze them."""
    lines = [
        {"meter": meter, "quantity": n, "price_id": "p", "unit_price": price[meter], "per": 1_000_000}
        for meter, n in tokens.items()
    ]
    nano = sum(int(Decimal(price[meter]) * 1000 * n) for meter, n in tokens.items())
    at = OCTOBER + hour * HOUR
    buckets = {} if estimated else tokens
    return row(
        f"{name}/1", started_us=at, ended_us=at + 5, lines=json.dumps(lines), nano=nano, currency=currency,
        spend_nano=nano * 13925 // 10000, estimated=estimated, input=buckets.get("input", 0),
        output=buckets.get("output", 0), cache_read=buckets.get("cache_read", 0), **changes,
    )  # fmt: skip


def line(day, meter, tokens, *, number, price=PRICE, model="gpt-4.1-mini", kind="usage", **changes):
    """A bill's line of a UTC day."""
    amount = tokens * Decimal(price.get(meter, "1")) / 1_000_000
    values = {
        "row": number + 2,
        "start_us": OCTOBER + day * DAY,
        "end_us": OCTOBER + (day + 1) * DAY,
        "account": "a",
        "model": model,
        "sku": "s",
        "meter": meter,
        "quantity": Decimal(tokens),
        "unit": "tokens",
        "amount": amount,
        "currency": "USD",
        "kind": kind,
        "ref": f"r{number}",
        "digest": f"d{number}",
        "month": "2026-10",
        **changes,
    }
    return BillLine(**values)


def asked(**changes):
    """How the analyst imports."""
    values = {
        "tenant": "maple", "vendor": "microsoft", "source": "azure", "file": "bill.csv", "by": "fin",
        "now_us": OCTOBER + 40 * DAY,
        "beside": True, **changes,
    }  # fmt: skip
    return Asked(**values)


def took(store, lines, *, name="a" * 64, options=None, **changes):
    """Import lines."""
    with store.write() as connection:
        return take(connection, name, lines, asked(**changes), options or Options())
