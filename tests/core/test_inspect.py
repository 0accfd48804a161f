"""Inspection: the same verdict for any chunking, with little held back and less lost."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import patterns
from gateway.core.inspect import HOLD, OVERLAP, JsonInspector, TextInspector, mask_found
from gateway.core.redact import mask_spans
from tests.core.privacy import BARE_SIN, CARD, PHONE, SIN, cut

ALL = patterns.KINDS
CUTS = st.lists(st.integers(0, 3000), max_size=60)


def inspect(text, cuts=(), made=TextInspector, kinds=ALL):
    counts: Counter[str] = Counter()
    inspector = made(kinds=kinds, masked=counts)
    return "".join([*(inspector.feed(piece) for piece in cut(text, cuts)), inspector.end()]), counts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"My SIN is {SIN}.", "My SIN is [SIN]."),
        (f"{BARE_SIN} is the SIN of the client", "[SIN] is the SIN of the client"),  # the word comes after
        ("your RAMQ is TREM 8505 1519 ok", "your RAMQ is [HEALTH_NUMBER] ok"),  # starts with a plain word
        ("born on March 4, 1985 in Laval", "born on [DATE_OF_BIRTH] in Laval"),
        ("he lives at 123 King Street West in Toronto", "he lives at [ADDRESS] in Toronto"),
        ("the password: hunter2Zz works", "the password: [SECRET] works"),
        ("nothing to see here", "nothing to see here"),
    ],
)
def test_masks_what_patterns_find(text, shown):
    """Finds are masked with the words around them as context, in one piece or character by character."""
    assert inspect(text)[0] == shown
    assert inspect(text, range(len(text)))[0] == shown


@given(
    st.lists(
        st.sampled_from([SIN, CARD, PHONE, "SIN", "word ", " ", "\n", "9", "x" * 40, "May", ": "]),
        max_size=30,
    ),
    CUTS,
)
def test_chunking_does_not_matter(pieces, cuts):
    """Text and counts are the same for the whole text and for any cutting of it."""
    text = "".join(pieces)
    assert inspect(text, cuts) == inspect(text)


@given(st.integers(0, 700), CUTS)
def test_no_identifier_slips_through_at_an_early_cut(lead, cuts):
    """In a run far longer than the hold, a card at any offset is masked."""
    text = "7 " * lead + CARD + " 8" * 300
    shown, counts = inspect(text, cuts, kinds=frozenset({"card"}))
    assert CARD not in shown
    assert counts == {"card": 1}


def test_the_hold_is_bounded_on_numbers_without_end():
    """A table of numbers flows with a bounded lag, however long it is."""
    inspector = TextInspector(kinds=ALL, masked=Counter())
    lag = sent = got = 0
    for _ in range(2_000):
        sent += 5
        got += len(inspector.feed("12.5 "))
        lag = max(lag, sent - got)
    assert lag <= 2 * HOLD + OVERLAP


def test_a_private_key_is_masked_whole():
    """A key of many lines is held until its end and leaves no line behind."""
    lines = "\n".join("Ab9+" * 16 for _ in range(40))
    text = f"here: -----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----\nthat was it"
    shown, counts = inspect(text, range(0, len(text), 7))
    assert "Ab9+" not in shown
    assert shown.endswith("that was it")
    assert counts == {"secret": 1}


def test_tokens_are_never_masked():
    """A find that touches a token is left for restoring."""
    text = "call <PHONE_1> or 514-555-0199"
    spans = patterns.scan(text)
    counts: Counter[str] = Counter()
    assert mask_found(text, spans, counts) == "call <PHONE_1> or [PHONE]"
    assert mask_spans("ab", []) == "ab"


ARGUMENTS = [
    ({"sin": int(BARE_SIN), "n": 4}, {"sin": "[SIN]", "n": 4}),
    ({"customer_sin": BARE_SIN}, {"customer_sin": "[SIN]"}),
    ({"order": BARE_SIN}, {"order": BARE_SIN}),
    ({"note": f"line\nSIN {SIN}"}, {"note": "line\nSIN [SIN]"}),
    ({"a": [{"b": PHONE}, "x"]}, {"a": [{"b": "[PHONE]"}, "x"]}),
    ({"q": 'say "hi" \\ é', "t": True}, {"q": 'say "hi" \\ é', "t": True}),
]


@given(st.sampled_from(ARGUMENTS), CUTS, st.booleans(), st.sampled_from([None, 1]))
def test_json_is_masked_by_value_and_parses(case, cuts, ascii_only, indent):
    """Values are decoded and seen with their keys; untouched JSON comes back byte for byte."""
    value, masked = case
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    shown, _ = inspect(text, cuts, JsonInspector)
    assert json.loads(shown) == masked
    if value == masked:
        assert shown == text


def test_json_that_breaks_off_is_still_masked():
    """Half a tool call (the stream died) shows no identifier either."""
    shown, _ = inspect(f'{{"note": "call {PHONE} or', range(60), JsonInspector)
    assert shown == '{"note": "call [PHONE] or'


@given(st.text('{}[]":,\\ a1', max_size=60), CUTS)
def test_garbled_json_passes_through_the_same_for_any_chunking(text, cuts):
    """What is no JSON is neither lost nor doubled, and reads the same however it was cut."""
    assert inspect(text, cuts, JsonInspector) == inspect(text, (), JsonInspector)
    if "1" not in text and "\\" not in text:
        assert inspect(text, cuts, JsonInspector)[0] == text


@pytest.mark.parametrize(
    ("text", "settles"),
    [
        ("we met there ", "met there "),
        ("so it was settled. ", "was settled. "),
        ("so it was dec", "was "),  # what is not complete waits, and `dec` may be a month
        ("said the pass ", "the "),  # what follows it may be a secret
        ("call trem ", ""),  # a health number may begin with four letters
        ("call TREM ", ""),
        ("number 130 692", ""),
        ("number 130 and then ", ""),
    ],
)
def test_what_settles_is_a_plain_word_and_nothing_that_may_grow(text, settles):
    """For a stream that stalls: nothing is shown that any continuation could have masked."""
    inspector = TextInspector(kinds=ALL, masked=Counter())
    shown = inspector.feed(text)
    settled = inspector.settle()
    assert settled == settles
    assert shown + settled + inspector.held == text


WORDS = ["there ", "trem ", f"{SIN} ", "TREM ", "8505 1519 ", "my ", "(514) ", "555-0199. ", "x"]


@given(st.lists(st.sampled_from(WORDS), max_size=9), CUTS)
def test_settling_never_changes_a_verdict(words, cuts):
    """Asked after every piece, the text is masked as in one piece."""
    text = "".join(words)
    inspector = TextInspector(kinds=ALL, masked=Counter())
    shown = "".join(
        [part for piece in cut(text, cuts) for part in (inspector.feed(piece), inspector.settle())]
    )
    assert shown + inspector.end() == inspect(text)[0]
