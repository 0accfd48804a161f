"""A model of litellm's map as a price: exact, with every assumption said and nothing dropped in silence."""

# ruff: noqa: E501 (files stand whole, as people read them)

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.import_prices import Draft, NotImportable, draft, ended, entry_text
from gateway.policy.source import read
from tests.policy.price_files import bundle

TEXT = """{
 "claude-x": {
  "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
  "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
  "input_cost_per_token_batches": 1.5e-06, "output_cost_per_token_batches": 7.5e-06,
  "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
  "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_high": 0.025},
  "provider_specific_entry": {"us": 1.1, "fast": 6}, "deprecation_date": "2027-01-31",
  "supports_prompt_caching": true, "supports_vision": true, "litellm_provider": "anthropic",
  "source": "https://example.com/pricing", "vector_store_cost_per_gb_per_day": 0.1
 },
 "per-thousand": {"input_cost_per_token": 0.0032, "output_cost_per_token": 0.0032},
 "no-input": {"output_cost_per_token": 1e-06},
 "zero": {"input_cost_per_token": 0, "output_cost_per_token": 0},
 "negative": {"input_cost_per_token": -1e-06, "output_cost_per_token": 0},
 "text": {"input_cost_per_token": "cheap"},
 "caching": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "supports_prompt_caching": true},
 "alias": {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
 "alias-2026-05-01": {"input_cost_per_token": 2e-06, "output_cost_per_token": 2e-06},
 "ranges": {"tiered_pricing": [
   {"range": [0, 256000.0], "input_cost_per_token": 5e-08, "output_cost_per_token": 4e-07},
   {"range": [256000.0, 1000000.0], "input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06}]},
 "odd-tier": {"input_cost_per_token": 3e-06, "output_cost_per_token": 3e-06,
   "input_cost_per_token_flex": 1e-06, "cache_read_input_token_cost": 1e-06},
 "uplift": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06,
   "regional_processing_uplift_multiplier_eu": 1.1}
}"""
MAP = json.loads(TEXT, parse_float=Decimal)


def text_of(made: Draft, deployment: str = "d") -> str:
    """The entry as it would be written."""
    return entry_text(
        made, name="imported", deployment=deployment, valid_from="2026-11-23T00:00:00Z",
        recorded="2026-11-23T00:00:00Z", source="litellm: a map", approved_by=["finance"],
    )  # fmt: skip


def test_a_model_becomes_a_price_exactly() -> None:
    """Per token becomes per million by moving the point; the entry loads as it was written."""
    made = draft(MAP, "claude-x")
    (placed,) = bundle(text_of(made)).prices
    price = placed.value
    assert dict(price.meters) == {
        "input": "3.00", "cache_read": "0.30", "cache_write_5m": "3.75", "cache_write_1h": "6.00",
        "output": "15.00", "input_image": "3.00", "cache_read_image": "0.30", "web_search": "0.025",
    }  # fmt: skip
    assert dict(price.tiers["batch"].meters) | {} == {
        "input": "1.50", "cache_read": "0.15", "cache_write_5m": "1.875", "cache_write_1h": "3.00",
        "output": "7.50", "input_image": "1.50", "cache_read_image": "0.15",
    }  # fmt: skip
    (band,) = price.bands
    assert (band.above, band.meters["input"], band.meters["output"]) == (200_000, "6.00", "22.50")
    assert band.tiers["batch"].meters["input"] == "3.00"
    assert [(one.where, one.times) for one in price.uplifts] == [("us", "1.10")]
    assert (str(price.retires), price.currency, price.per) == ("2027-01-31", "USD", 1_000_000)


def test_what_was_assumed_or_left_out_stands_in_the_file() -> None:
    """Whoever approves it reads it there."""
    text = text_of(draft(MAP, "claude-x"))
    assert "# `input_image` tokens cost as `input`: the map has no price of their own" in text
    assert "# web searches cost as those with the largest context" in text
    assert (
        "# the tier `batch`: cache_read, cache_read_image, cache_write_1h, cache_write_5m at 0.5 times"
        in text
    )
    assert "# not imported: `vector_store_cost_per_gb_per_day` has no place in a price" in text


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("no-input", "no price per input token in the map (no_input_price)"),
        ("negative", "`input_cost_per_token` is negative"),
        ("text", "`input_cost_per_token` is no number"),
    ],
)
def test_what_makes_no_price_says_why(model: str, said: str) -> None:
    """And nothing else of it is used."""
    with pytest.raises(NotImportable) as caught:
        draft(MAP, model)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("zero", "no_input_price"),
        ("caching", "missing_cache_read"),
        ("alias", "alias_unlike_snapshot"),
        ("alias-2026-05-01", "alias_unlike_snapshot"),
    ],
)
def test_doubts_of_the_map_are_named(model: str, code: str) -> None:
    """Each by the name of its lint."""
    assert [name for name, _ in draft(MAP, model).doubts] == [code]
    assert draft(MAP, "claude-x").doubts == []


def test_a_dearer_tier_is_taken_when_it_is_asked_for() -> None:
    """It makes every hold larger; unasked it is left out, and that is said."""
    plain = draft(MAP, "claude-x")
    assert set(plain.tiers) | set(plain.times) == {"batch"}
    assert any("--tier fast" in sentence for sentence in plain.left_out)
    (placed,) = bundle(text_of(draft(MAP, "claude-x", tiers=frozenset({"fast"})))).prices
    assert placed.value.tiers["fast"].times == "6.00"


def test_ranges_become_bands() -> None:
    """The first range is the base."""
    made = draft(MAP, "ranges")
    assert (made.meters["input"], made.bands[256_000]["input"]) == (Decimal("0.05"), Decimal("0.25"))


def test_a_tier_that_cannot_be_completed_is_left_out_and_said() -> None:
    """A third of the base is no decimal: nothing is guessed."""
    made = draft(MAP, "odd-tier")
    assert made.tiers == {}
    assert any("the tier `flex`" in sentence for sentence in made.left_out)


def test_a_regional_uplift_is_applied_when_it_is_asked_for() -> None:
    """Which endpoint a deployment has, the map cannot know."""
    assert draft(MAP, "uplift", region="eu").uplifts == {"always": Decimal("1.1")}
    plain = draft(MAP, "uplift")
    assert plain.uplifts == {}
    assert any("--region eu" in sentence for sentence in plain.left_out)


@given(
    st.decimals("0", "0.5", places=14, allow_nan=False), st.decimals("0", "0.5", places=14, allow_nan=False)
)
def test_any_amount_is_written_exactly(inputs: Decimal, outputs: Decimal) -> None:
    """Digits in the file are the map's, with the point moved."""
    made = draft({"m": {"input_cost_per_token": inputs, "output_cost_per_token": outputs}}, "m")
    (placed,) = bundle(text_of(made)).prices
    assert Decimal(placed.value.meters["input"]) == inputs * 1_000_000
    assert Decimal(placed.value.meters["output"]) == outputs * 1_000_000


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  valid: {from: 2026-01-01}\n", "  valid: {from: 2026-01-01, to: 2026-12-01}\n"),
        ("  valid: { from: 2026-01-01T00:00:00Z } # x\n", "  valid: { from: 2026-01-01T00:00:00Z, to: 2026-12-01} # x\n"),
        ("- {id: a, valid: {from: 2026-01-01}, source: s}\n", "- {id: a, valid: {from: 2026-01-01, to: 2026-12-01}, source: s}\n"),
        ("    from: 2026-01-01\n", "    from: 2026-01-01\n    to: 2026-12-01\n"),
        ("  valid: {source: s,\n", None),
    ],
)  # fmt: skip
def test_an_earlier_price_is_ended_where_it_stands(before: str, after: str | None) -> None:
    """In the writer's own layout; a layout that is not understood is left to a person."""
    found = ended("x: 1\n" + before + "y: 2\n", 2, "2026-12-01")
    assert found == (None if after is None else "x: 1\n" + after + "y: 2\n")
    assert ended("x: 1\n", 9, "2026-12-01") is None


def test_an_entry_is_yaml_whatever_the_source_says() -> None:
    """Quotes, colons and line ends of a source stay inside their string."""
    made = draft(MAP, "alias")
    text = entry_text(
        made, name="n", deployment="d", valid_from="2026-11-23", recorded="2026-11-23",
        source='a "b": c\n- id: evil', approved_by=[],
    )  # fmt: skip
    document = read("p.yaml", text.encode())
    assert document.problems == []
    assert isinstance(document.data, list)
    assert len(document.data) == 1
