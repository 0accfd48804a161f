"""JSON: the whole report, amounts as strings, the digest beside them."""

from __future__ import annotations

import orjson
from hypothesis import given, settings

from gateway.reports.document import digest
from tests.reports.writers.documents import documents, statement
from tests.reports.writers.reading import written


@settings(deadline=None, max_examples=40)
@given(documents())
def test_no_amount_is_a_binary_float(document):
    """Nowhere in the tree."""

    def walk(value):
        assert not isinstance(value, float)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            walk(item)

    walk(orjson.loads(written(document, "json")))


def test_the_whole_report_is_there():
    """Head, facts, both sections with their columns, notes, digest."""
    body = orjson.loads(written(statement(), "json"))
    assert (body["report"], body["status"], body["currency"]) == ("chargeback", "preliminary", "CAD")
    assert body["facts"][0] == {"name": "USD/CAD", "value": "1.3925, fixed 2026-11-01, Bank of Canada"}
    assert [section["name"] for section in body["sections"]] == ["cost_centres", "forecast"]
    first = body["sections"][0]
    assert first["columns"][4] == {"name": "spend", "title": "Spend", "kind": "money", "currency": "CAD"}
    assert (first["rows"][0]["spend"], first["rows"][0]["calls"], first["total"]["used"]) == (
        "573.85",
        18240,
        None,
    )
    assert first["chart"]["y"] == ["spend", "budget"]
    assert f"sha256:{body['sha256']}" == digest(statement())


def test_a_number_too_large_for_a_reader_is_a_string():
    """JavaScript holds whole numbers below 2**53."""
    from gateway.reports.document import Column
    from gateway.reports.writers.object_notation import _value

    count = Column(name="n", title="N", kind="count")
    assert (_value(2**53 - 1, count), _value(2**53, count)) == (2**53 - 1, str(2**53))
