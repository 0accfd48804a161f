"""Prices that do not agree with each other stop the bundle, and both places are named."""

# ruff: noqa: E501 (files stand whole, as people read them)

from __future__ import annotations

import pytest

from tests.policy.price_files import bundle, entry, problems


def test_overlapping_validity_names_both_lines() -> None:
    """The later one is the error, the earlier one is in the fix."""
    (found,) = problems(entry("a"), entry("b", valid="{from: 2026-05-31}"))
    assert found == (
        "prices/p.yaml:11:3 [1].valid: the price overlaps another one of `d`; end the earlier one with to: "
        "`a` stands at prices/p.yaml:1"
    )
    touching = entry("a", valid="{from: 2026-01-01, to: 2026-06-01}"), entry("b", valid="{from: 2026-06-01}")
    assert problems(*touching) == []


def test_an_id_stands_once() -> None:
    """Two prices of one id would rate a row two ways."""
    (found,) = problems(entry("a"), entry("a", deployment="e"))
    assert "the id `a` stands twice; the first is at prices/p.yaml:1" in found


CORRECTION = {"corrects": "a", "recorded": "2026-11-20T00:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"valid": "{from: 2026-03-01, to: 2026-04-01}"}, None),
        ({"corrects": "x"}, "unknown price `x`"),
        ({"corrects": "b"}, "unknown price `b`"),
        ({"recorded": ""}, "a correction says when it was learned"),
        ({"recorded": "2025-12-01"}, "it was not learned after the price that it corrects (prices/p.yaml:1)"),
        ({"deployment": "e"}, "`a` is a price of `d`"),
    ],
)
def test_a_correction_may_overlap_what_it_corrects(changes: dict[str, str], said: str | None) -> None:
    """It names an earlier price of the same deployment, and when it was learned."""
    found = problems(entry("a"), entry("b", **{**CORRECTION, **changes}))
    assert (found == []) if said is None else any(said in message for message in found)


def test_a_correction_of_a_correction_and_a_stranger() -> None:
    """A chain may overlap all of itself; a price outside of it may not."""
    twice = entry("c", corrects="b", recorded="2026-11-21T00:00:00Z")
    assert problems(entry("a"), entry("b", **CORRECTION), twice) == []
    found = problems(entry("a"), entry("b", **CORRECTION), entry("x"))
    assert len(found) == 2
    assert all("overlaps" in message for message in found)


OWN = '{meters: {input: "3", output: "6"}}'


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bands": '[{above: 9, times: "2"}, {above: 9, times: "3"}]'}, "two bands begin above 9 tokens; keep one; the other is at prices/p.yaml:7"),
        ({"bands": '[{above: 9, times: "2"}]', "tiers": f"{{priority: {OWN}}}"}, "the tier `priority` has prices of its own, but none for prompts this long"),
        ({"bands": f'[{{above: 9, times: "2", tiers: {{priority: {OWN}}}}}]', "tiers": f"{{priority: {OWN}}}"}, None),
        ({"bands": '[{above: 9, times: "2"}]', "tiers": '{batch: {times: "0.5"}}'}, None),
        ({"tiers": '{priority: {meters: {input: "3"}}}'}, "names every token meter that is used, and `output` is missing; add output"),
        ({"tiers": '{batch: {meters: {request: "0"}}}'}, None),
        ({"uplifts": '[{times: "1.1", source: s}, {times: "1.2", source: s}]'}, "this overlaps the one at prices/p.yaml:7"),
        ({"uplifts": '[{where: us, times: "1.1", source: s}, {where: eu, times: "1.2", source: s}]'}, None),
        ({"discounts": '[{times: "0.9", on: [input], source: s}, {times: "0.8", source: s}]'}, "this overlaps the one at"),
        ({"discounts": '[{times: "0.9", on: [input], source: s}, {times: "0.8", on: [output], source: s}]'}, None),
        ({"discounts": '[{times: "0.9", valid: {from: 2026-01-01, to: 2026-06-01}, source: s}, {times: "0.8", valid: {from: 2026-06-01}, source: s}]'}, None),
        ({"discounts": '[{times: "0.9", valid: {from: 2026-06-01, to: 2026-06-01}, source: s}]'}, "`to` is not after `from`"),
        ({"at_most": "{input: 5}"}, "tokens are bounded by the call"),
        ({"reserved": '{amount: "5", per: hour}', "meters": ""}, None),
        ({"reserved": '{amount: "5", per: hour}', "free": "true"}, "reserved capacity is not free"),
        ({"meters": ""}, "no price per token"),
        ({"meters": "", "free": "true"}, None),
    ],
)  # fmt: skip
def test_conditions_agree_with_each_other(fields: dict[str, str], said: str | None) -> None:
    """Nothing is multiplied twice, and no sheet has a hole that a long prompt or a tier falls into."""
    found = problems(entry(**fields))
    assert (found == []) if said is None else any(said in message for message in found), found


def test_two_rates_of_one_instant_name_both_lines() -> None:
    """One pair has one rate at a time."""
    rate = '  - {base: USD, quote: CAD, rate: "1.4", from: 2026-01-01, source: s}\n'
    (found,) = problems(entry(), fx=f"rates:\n{rate}{rate}")
    assert "prices/fx.yaml:3" in found
    assert "the other is at prices/fx.yaml:2" in found
    (found,) = problems(entry(), fx=f"rates:\n{rate.replace('CAD', 'USD')}")
    assert "`USD` into itself needs no rate" in found


def test_warnings_do_not_stop_and_are_said() -> None:
    """The lints are warnings of the bundle, which `policy check --strict` counts as errors."""
    loaded = bundle(entry(meters='{input: "5000", output: "2"}'))
    assert any("too_dear" in warning.message for warning in loaded.warnings)
