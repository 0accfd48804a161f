"""The mapping of a CSV is checked as a policy file is: file, line, nearest right word."""

from __future__ import annotations

import pytest

from gateway.policy.bill_mapping import mapping
from gateway.policy.problems import PolicyErrors
from tests.adapters.vendor_costs.golden import FOLDER


def read(tmp_path, how):
    (tmp_path / "m.yaml").write_text(how)
    return mapping(tmp_path / "m.yaml")


def test_the_golden_mapping_says_what_it_says() -> None:
    found = mapping(FOLDER / "mapped.yaml")
    assert found.columns["amount"] == "Betrag"
    assert (found.decimal, found.thousands, found.timezone, found.window) == (
        ",",
        ".",
        "Europe/Berlin",
        "day",
    )
    assert found.kinds["Steuer"] == "tax"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("columns: {start: d, amont: c}\ncurrency: CAD\n", "m.yaml:1.*amount"),
        ("columns: {start: d, amount: c}\n", "no currency"),
        ("columns: {start: d, amount: c}\ncurrency: CAD\ntime: {timezone: Toronto}\n", "unknown time zone"),
        ("columns: {start: d, amount: c}\ncurrency: CAD\nmeter: tokens\n", "unknown meter"),
        ('columns: {start: d, amount: c}\ncurrency: CAD\ndecimal: ","\nthousands: ","\n', "the same sign"),
        ("columns: [", "m.yaml"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_line(tmp_path, how, words) -> None:
    with pytest.raises(PolicyErrors, match=words):
        read(tmp_path, how)


def test_a_mapping_that_is_not_there_is_said(tmp_path) -> None:
    with pytest.raises(PolicyErrors, match="cannot be read"):
        mapping(tmp_path / "gone.yaml")
