"""The inline detector: patterns behind the port, long texts in turns."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.detectors.inline import WINDOW, InlineDetector
from gateway.core import patterns
from gateway.core.walk import FIXED_CONTEXT
from gateway.ports import Text

SIN = "130 692" + " 544"


async def scan(text, context=None):
    (spans,) = await InlineDetector().detect([Text(text=text, context=context)], patterns.KINDS)
    return [(span.kind, text[span.start : span.end]) for span in spans]


@pytest.mark.parametrize("offset", [-700, -20, -12, -5, -1, 0, 1, 300])
async def test_an_identifier_at_a_windows_edge_is_found_once(offset):
    """Windows overlap, and a span belongs to the one it starts in."""
    lead = "word " * (WINDOW // 5 + 1)
    text = lead[: WINDOW + offset - 4] + "SIN " + SIN + " " + "word " * 2_000
    assert await scan(text) == [("sin", SIN)]


async def test_a_long_private_key_is_found_whole():
    """Secrets are searched in the whole text, since a key can be longer than an overlap."""
    key = "-----BEGIN " + "PRIVATE KEY-----\n" + "Ab9+\n" * 1_500 + "-----END " + "PRIVATE KEY-----"
    text = "word " * 1_500 + key + " word" * 1_500
    assert ("secret", key) in await scan(text)


async def test_others_get_their_turn_while_a_long_text_is_scanned():
    """The event loop runs other work between windows."""
    turns = 0

    async def tick():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await scan("1 2 " * 20_000)
    ticking.cancel()
    assert turns >= 80_000 // WINDOW


async def test_the_mark_of_fixed_leaves_is_no_context_word():
    """`~fixed` says how a leaf is handled, nothing about its value."""
    assert await scan(SIN.replace(" ", ""), FIXED_CONTEXT) == []
    assert await scan(SIN.replace(" ", ""), "sin") == [("sin", SIN.replace(" ", ""))]


async def test_a_resent_text_is_scanned_once_and_never_kept():
    """The same answer comes from a keyed hash; another key, another set of kinds ask again; it is bounded."""
    detector = InlineDetector(tenant="maple", cached=2)
    text = "word " * 60 + "my number " + SIN.replace(" ", "")
    for context, kinds in ((None, patterns.KINDS), ("sin", patterns.KINDS), ("sin", frozenset({"card"}))):
        first = await detector.detect([Text(text=text, context=context)], kinds)
        assert await detector.detect([Text(text=text, context=context)], kinds) == first
    assert len(detector._cache) == 2
    assert "word" not in repr(detector._cache)
    assert await detector.detect([Text(text=text, context="sin")], patterns.KINDS) != [[]]


async def test_tenants_do_not_share_answers():
    """What one tenant's detector kept is nothing that another's would recognise."""
    one, other = InlineDetector(tenant="maple"), InlineDetector(tenant="birch")
    assert one._digest("text", None) != other._digest("text", None)


async def test_a_table_is_read_under_its_headings():
    """A bare number in a column `nas` is a SIN."""
    bare = SIN.replace(" ", "")
    assert await scan(f"id,nas\n1,{bare}") == [("sin", bare)]


async def test_a_long_tables_last_row_is_read_under_its_headings():
    """A heading counts for every row, however many windows away."""
    bare = SIN.replace(" ", "")
    rows = f"\n1,{bare}" * 2_000
    found = await scan("id,nas" + rows)
    assert found == [("sin", bare)] * 2_000


async def test_a_huge_text_is_scanned_to_its_end():
    """Whatever it is made of."""
    email = "jane" + "@" + "example.com"
    for bit in ("1 ", '{"a": "b"}, ', "a='", "<a>b</a>", "\u202e\u05d0 1"):
        assert (await scan(bit * (300_000 // len(bit)) + " " + email))[-1] == ("email", email)
