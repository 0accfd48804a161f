"""Print: the compiled rules in sentences, in both languages."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

import pytest

from gateway.policy.render import _WORDS, render
from tests.policy.written import compiled, snapshot


def test_english():
    """A lawyer reads what the machine will do, exceptions included."""
    text = render(snapshot("bank"))
    assert "Whatever is not allowed below is refused." in text
    assert "Data that nobody labelled counts as client." in text
    assert (
        "CA-1  Client data is processed, stored and logged only in Canada.\n"
        "  For client data: a deployment is used only if processed_in is inside Canada and stored_in is inside Canada "
        "and vendor_logs_in is inside Canada.\n"
        "  No exception is possible."
    ) in text
    assert "Exception until 2026-12-15 (j.roy), for public (apps hackathon)" in text
    assert "a place does not count where pia_quebec is on file" in text


def test_french():
    """The same in French; `says` stays as written."""
    text = render(snapshot("bank"), language="fr")
    assert "Pour les données client" in text
    assert "Aucune exception n’est possible." in text


def test_both_languages_have_every_sentence():
    """No sentence exists in one language only."""
    assert _WORDS["en"].keys() == _WORDS["fr"].keys()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_word_of_the_language_is_printed(language):
    """Every test, scope and duty has a sentence."""
    rules = compiled(
        policy="""
policy: p
data: {a: {}}
rules:
  - id: R
    says: all words
    for: {data: a, tenant: x, group: g, purpose: q, use: chat, caller_in: CA}
    must: {processed_in: CA, vendor: v, keeps_content_days: {at_most: 3, at_least: 1}, has: d, baa_covers: this_use,
           own: {tier: gold, score: {at_least: 5}}, caller_in: CA}
    do: [{mask: sin}, {tokenise: card}, {block: secret}, {answer_tokens: {at_most: 9}}, {log_in: CA}, no_store,
         {keep_log_days: {at_least: 1, at_most: 2}}, {cache_scope: app}, {forbid_tools: mcp}, {ask: officer},
         {mark: needs_review}, disclose_ai]
    shadow: true
"""
    )
    text = render(rules, language=language)
    for word in (
        "baa_covers",
        "own.tier",
        "own.score",
        "officer",
        "needs_review",
        "mcp",
        "secret",
        "card",
        "sin",
    ):
        assert word in text
