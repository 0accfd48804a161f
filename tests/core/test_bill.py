"""One name for one model, one word for one meter, however a vendor spells them."""

from __future__ import annotations

import pytest

from gateway.core.bill import METERS, ModelNames, canonical, meter_in, meter_of

SAME = {
    "claude-sonnet-4-5": [
        "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "claude-sonnet-4-5@20250929",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "publishers/anthropic/models/claude-sonnet-4-5",
    ],
    "gpt-4-1-mini": ["gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "openai/gpt-4.1-mini", "GPT 4.1 Mini"],
    "gemini-2-5-flash": ["gemini-2.5-flash", "google/gemini-2.5-flash", "gemini-2.5-flash-latest"],
    "titan-embed-text-v2": ["amazon.titan-embed-text-v2:0"],
    "titan-embed-text-v1": ["amazon.titan-embed-text-v1"],
    "deepseek-v3": ["deepseek-v3"],
}  # fmt: skip


@pytest.mark.parametrize(("plain", "name"), [(k, n) for k, names in SAME.items() for n in names])
def test_a_snapshot_and_a_spelling_are_the_same_model(plain, name) -> None:
    assert canonical(name) == plain


@pytest.mark.parametrize(
    ("text", "meter"),
    [
        ("gpt-4o-2024-08-06, input", "input"),
        ("gpt-4o-2024-08-06, cached input", "cache_read"),
        ("gpt-4o-2024-08-06, output", "output"),
        ("uncached_input_tokens", "input"),
        ("output_tokens", "output"),
        ("cache_read_input_tokens", "cache_read"),
        ("cache_creation.ephemeral_1h_input_tokens", "cache_write_1h"),
        ("cache_creation.ephemeral_5m_input_tokens", "cache_write_5m"),
        ("gpt 4.1 mini Inp regnl Tokens", "input"),
        ("gpt 4.1 mini cached Inp regnl Tokens", "cache_read"),
        ("gpt 4.1 mini Outp regnl Tokens", "output"),
        ("USE1-NovaLite-input-tokens", "input"),
        ("USE1-MP:USE1_OutputTokenCount-Units", "output"),
        ("USE1-MP:USE1_CacheReadInputTokenCount-Units", "cache_read"),
        ("USE1-MP:USE1_CacheWriteInputTokenCount-Units", "cache_write_5m"),
        ("Input Tokens", "input"),
        ("Cache Write Input Tokens", "cache_write_5m"),
        ("gpt-4o-audio-preview, audio input", "input_audio"),
        ("Gemini 2.5 Flash Audio Output", "output_audio"),
        ("Provisioned Managed Global", ""),
        ("", ""),
    ],
)
def test_a_description_names_its_meter(text, meter) -> None:
    assert meter_in(text) == meter


def test_the_meters_of_our_prices_have_one_to_compare() -> None:
    assert meter_of("reasoning") == "output"
    assert {meter_of(name) for name in METERS} == set(METERS)


def test_names_are_found_by_declaration_then_by_name_then_in_words() -> None:
    names = ModelNames(
        [
            ("gpt-41-mini", "gpt-4.1-mini-2025-04-14"),
            ("gpt-41", "gpt-4.1-2025-04-14"),
            ("claude", "claude-opus-4-5"),
        ],
        {"Our Contract Model": "claude"},
    )
    assert names.key("gpt-4.1-mini") == "gpt-41-mini"
    assert names.key("Azure OpenAI gpt-4.1-mini Inp glbl Tokens") == "gpt-41-mini"
    assert names.key("gpt 4.1 Outp Tokens") == "gpt-41"
    assert names.key("our contract model") == "claude"
    assert names.key("gpt-4.1-nano") is names.key("gpt 4.1 nano Inp Tokens") is None  # another model
    assert names.key("Claude Opus 4.5 (Amazon Bedrock Edition)") == "claude"
    assert names.key("o3-pro") is None


def test_two_deployments_of_one_model_are_one_model() -> None:
    names = ModelNames([("mini-east", "gpt-4.1-mini-2025-04-14"), ("mini-west", "gpt-4.1-mini-2025-04-14")])
    assert names.key("mini-west") == names.key("mini-east") == names.key("gpt-4.1-mini") == "mini-east"
