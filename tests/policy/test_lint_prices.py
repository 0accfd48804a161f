"""Each slip that is really made in price sheets is found by name, and the right sheet is left alone."""

from __future__ import annotations

from datetime import date

import pytest

from gateway.policy.lint_prices import CODES, lint
from tests.policy.price_files import bundle, entry

TODAY = date(2026, 11, 23)
GOOD = '{input: "3.00", cache_read: "0.30", cache_write_5m: "3.75", cache_write_1h: "6.00", output: "15.00"}'
OLD = {"valid": "{from: 2026-01-01, to: 2026-06-01}"}
NEW = {"valid": "{from: 2026-06-01}"}


def found(*entries: str, fx: str = "") -> list[tuple[str, str, int]]:
    """Name, price and line of each finding."""
    return [
        (finding.code, finding.price, finding.problem.line)
        for finding in lint(bundle(*entries, fx=fx), today=TODAY)
    ]


def rates(*values: str) -> str:
    """A rates file, one value a month."""
    lines = [
        f'  - {{base: USD, quote: CAD, rate: "{value}", from: 2026-{month:02}-01, source: s}}\n'
        for month, value in enumerate(values, 1)
    ]
    return "rates:\n" + "".join(lines)


SEEDED: dict[str, tuple[list[str], str]] = {
    # A price per thousand that was entered per token.
    "too_dear": ([entry(meters='{input: "3200.00", output: "3200.00"}')], ""),
    "cache_read_not_cheaper": ([entry(meters=GOOD.replace('"0.30"', '"3.00"'))], ""),
    "missing_ttl_price": ([entry(meters=GOOD.replace('cache_write_1h: "6.00", ', ""))], ""),
    "missing_cache_read": ([entry(meters=GOOD.replace('cache_read: "0.30", ', ""))], ""),
    "jump": ([entry("a", **OLD), entry("b", **NEW, meters='{input: "1.00", output: "50.00"}')], ""),
    "retired": ([entry(retires="2026-11-22")], ""),
    "no_input_price": ([entry(meters='{input: "0", output: "2.00"}')], ""),
    "alias_unlike_snapshot": (
        [entry("a"), entry("b", deployment="e", meters='{input: "1.50", output: "2.00"}')],
        "",
    ),
    "fx_jump": ([entry()], rates("1.39", "0.72")),
}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_seeded_slip_is_found(code: str) -> None:
    """By its own name, once, and by no other."""
    entries, fx = SEEDED[code]
    assert {name for name, _, _ in found(*entries, fx=fx)} == {code}


def test_a_good_sheet_is_left_alone() -> None:
    """Dated prices that rise a little, tiers, bands, reserved and free: nothing to say."""
    band = GOOD.replace("3.00", "6.00").replace('"0.30"', '"0.60"')
    entries = [
        entry("a", **OLD, meters=GOOD),
        entry("b", **NEW, meters=GOOD.replace("15.00", "18.00"), retires="2026-11-23",
              tiers='{batch: {times: "0.5"}}', bands=f"[{{above: 200000, meters: {band}}}]"),
        entry("c", deployment="e", meters="", reserved='{amount: "2448.00", per: month}'),
    ]  # fmt: skip
    assert found(*entries, fx=rates("1.39", "1.41", "1.36")) == []


def test_slips_are_found_in_tiers_and_bands_at_their_line() -> None:
    """A sheet of its own is read like the base."""
    bad = '{input: "1.00", cache_read: "1.00", output: "2.00"}'
    assert found(entry(tiers=f"{{flex: {{meters: {bad}}}}}")) == [("cache_read_not_cheaper", "p1", 7)]
    assert found(entry(bands=f"[{{above: 9, meters: {bad}}}]")) == [("cache_read_not_cheaper", "p1", 7)]


def test_a_price_that_ended_with_its_model_is_fine() -> None:
    """The model's end matters while the price goes on."""
    ended = entry(retires="2026-06-01", valid="{from: 2026-01-01, to: 2026-06-02}")
    assert found(ended) == []
    assert [code for code, _, _ in found(entry(retires="2026-06-01"))] == ["retired"]


def test_another_currencys_amounts_are_larger() -> None:
    """900 yen per million tokens is cheap; 900,000 dollars are not."""
    assert found(entry(currency="JPY", meters='{input: "45000", output: "150000"}')) == []
    assert {code for code, _, _ in found(entry(currency="CAD", meters='{input: "1001", output: "1"}'))} == {
        "too_dear"
    }
