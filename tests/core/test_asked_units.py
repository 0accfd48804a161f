"""What is billed beside tokens, and at which tier, is bounded by the request, or by nobody."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.core.asked_units import asked_tier, asked_units
from gateway.core.errors import Code, Refusal
from gateway.core.prices import bound, charge
from gateway.core.tariff import Terms
from gateway.core.values import Charge, Surface, Usage
from tests.core.maple import NOW, price, snapshot

SEARCH = frozenset({"web_search"})


@pytest.mark.parametrize(
    ("features", "body", "wanted"),
    [
        (frozenset(), {"tools": [{"type": "web_search"}]}, {}),
        ({"url_fetch"}, {"tools": [{"type": "web_fetch_20250910"}]}, {}),
        (SEARCH, {"tools": [{"type": "web_search_20250305", "max_uses": 5}]}, {"web_search": 5}),
        (SEARCH, {"tools": [{"type": "web_search_20250305"}]}, {"web_search": None}),
        (SEARCH, {"tools": [{"type": "web_search"}], "max_tool_calls": 3}, {"web_search": 3}),
        (SEARCH, {"web_search_options": {}}, {"web_search": None}),
        (SEARCH, {"search_parameters": {"mode": "on", "max_search_results": 7}}, {"source": 7}),
        (
            {"web_search", "file_id", "code_interpreter"},
            {
                "tools": [
                    {"type": "web_search", "max_uses": 2},
                    {"type": "web_search_preview", "max_uses": 1},
                    {"type": "file_search"},
                    {"type": "code_interpreter"},
                    {"type": "function"},
                ],
                "max_tool_calls": 9,
            },
            {"web_search": 3, "file_search": 9, "code_session": 1},
        ),
        (SEARCH, {"tools": "x", "max_tool_calls": True}, {"web_search": None}),
        (SEARCH, {"tools": [{"type": "web_search", "max_uses": -4}]}, {"web_search": 0}),
    ],
)
def test_what_a_request_may_use(features, body, wanted):
    """In each vendor's own field; what a request does not say is None, never zero."""
    assert asked_units(frozenset(features), body) == wanted


def test_each_choice_may_search():
    """Three answers, three times the searches."""
    assert asked_units(SEARCH, {"tools": [{"type": "web_search", "max_uses": 2}]}, 3) == {"web_search": 6}


def test_what_nobody_bounds_is_refused_and_the_price_may_bound_it():
    """A hold is never a guess: the request or finance says how many."""
    made = price(meters={**price().meters, "web_search": price().meters["input"]})
    open_ended = {"web_search": None}
    asked = {"input_tokens": 1, "output_tokens": 1, "at": NOW, "units": open_ended}
    refused = bound(snapshot(prices={"here": (made,)}), "here", **asked)
    assert isinstance(refused, Refusal)
    assert refused.code is Code.PRICE_UNKNOWN
    assert "max_uses" in refused.message
    capped = price(meters=made.meters, at_most={"web_search": 10})
    held = bound(snapshot(prices={"here": (capped,)}), "here", **asked)
    assert isinstance(held, Charge)
    assert [(line.meter, line.quantity) for line in held.lines][-1] == ("web_search", 10)
    free = bound(snapshot(prices={"here": (price(free=True, meters={}),)}), "here", **asked)
    assert isinstance(free, Charge)


@pytest.mark.parametrize(
    ("surface", "api", "body", "tier"),
    [
        (Surface.CHAT, "openai", {}, None),
        (Surface.CHAT, "openai", {"service_tier": "auto"}, None),
        (Surface.CHAT, "openai", {"service_tier": "default"}, ""),
        (Surface.RESPONSES, "azure_openai", {"service_tier": "flex"}, "flex"),
        (Surface.MESSAGES, "anthropic", {"service_tier": "standard_only"}, ""),
        (Surface.MESSAGES, "openai", {"service_tier": "standard_only"}, None),  # the translation drops it
        (Surface.CHAT, "bedrock", {"service_tier": "priority"}, "priority"),
        (Surface.MESSAGES, "anthropic", {"service_tier": "auto", "speed": "fast"}, "fast"),
        (Surface.CHAT, "openai", {"service_tier": 7}, "other"),
    ],
)
def test_the_tier_that_a_request_asks_for(surface, api, body, tier):
    """Standard only where the vendor is sure to read it; more than standard wherever it is said."""
    assert asked_tier(surface, api, body) == tier


def test_a_request_for_the_standard_tier_holds_no_dearer_one():
    """Left open, the hold covers the dearest listed tier; a dearer tier without a price is refused."""
    made = price(tiers={"priority": Terms(times=Decimal(2)), "batch": Terms(times=Decimal("0.5"))})
    bundle = snapshot(prices={"here": (made,)})

    def held(tier):
        return bound(bundle, "here", input_tokens=1_000_000, output_tokens=0, at=NOW, tier=tier)

    amounts = [held(tier).nano for tier in (None, "priority", "", "flex", "batch")]
    assert amounts == [1_100_000_000, 1_100_000_000, 550_000_000, 550_000_000, 550_000_000]
    for tier in ("", "flex", "batch"):
        most = charge(bundle, "here", Usage(cache_write_5m=1_000_000, tier=tier), at=NOW)
        assert most.nano <= held(tier).nano
    assert isinstance(held("fast"), Refusal)
    assert "`fast`" in held("fast").message
