"""The table of forms: what it promises to the scan."""

from __future__ import annotations

from gateway.core.pattern_table import NUMBERS, WORDS
from gateway.core.patterns import KINDS
from tests.core.test_patterns import test_finds

EXAMPLES = next(mark for mark in test_finds.pytestmark if mark.name == "parametrize").args[1]


def test_digit_counts_are_necessary():
    """No example of a form has fewer digits than the row says: the gate hides nothing."""
    for recognizer in NUMBERS:
        for text, _, value in EXAMPLES:
            for match in recognizer.pattern.finditer(text):
                if recognizer.check(match, text, "") is not None:
                    assert sum(map(str.isdigit, value)) >= recognizer.digits, (recognizer.kind, value)


def test_gates_are_necessary():
    """A row's gate is open for every text that its check accepts."""
    for recognizer in (*NUMBERS, *WORDS):
        for text, _, _ in EXAMPLES:
            hits = (recognizer.check(match, text, "") for match in recognizer.pattern.finditer(text))
            if any(hits):
                assert recognizer.gate(text, "")


def test_every_kind_has_an_example():
    """Each kind that the patterns claim is shown to be found (secrets have their own file)."""
    assert {kind for _, kind, _ in EXAMPLES} | {"secret", "url_credential"} == KINDS
