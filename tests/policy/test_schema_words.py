"""The small words: lists of one, days, amounts, codes, and keys that nobody knows."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.policy.schema_words import RUNGS, Amount, Code, Day, Instant, Kinds, Names, Strict
from gateway.policy.source import Unquoted


def _read(kind, value):
    return TypeAdapter(kind).validate_python(value, strict=True)


def _said(kind, value):
    with pytest.raises(ValidationError) as caught:
        _read(kind, value)
    context = caught.value.errors()[0].get("ctx", {})
    return f"{context.get('message')}; {context.get('suggestion')}"


def test_what_they_mean():
    """One word is a list of it, a day is a day, an alias of a kind is the kind."""
    assert _read(Names, "one") == ["one"]
    assert _read(Kinds, ["name", "sin"]) == ["person", "sin"]
    assert _read(Day, "2026-11-30").isoformat() == "2026-11-30"
    assert _read(Instant, "2026-11-23") == 1_795_392_000 * 10**9
    assert _read(Amount, "2500.00") == "2500.00"
    assert _read(Code, "CA-QC") == "CA-QC"


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Day, "2026-13-01", "`2026-13-01` is no date; write it as 2026-11-30"),
        (Amount, Unquoted("1.5"), 'an amount is written in quotes; write "1.5"'),
        (Code, "QC-CA", "unknown place code `QC-CA`; did you mean `CA-QC`?"),
        (Kinds, "sinn", "unknown kind of finding `sinn`; did you mean `sin`?"),
    ],
)
def test_what_they_say(kind, value, said):
    """A slip is answered with the right form."""
    assert said.partition("; ")[0] in _said(kind, value)
    assert said.partition("; ")[2].split("`")[0] in _said(kind, value)


def test_unknown_keys():
    """The nearest key is named."""

    class Two(Strict):
        vendor: str = ""

    with pytest.raises(ValidationError) as caught:
        Two.model_validate({"vendr": "x"})
    assert caught.value.errors()[0]["ctx"]["suggestion"] == "did you mean `vendor`?"


def test_rungs_go_up():
    """From hearsay to a check of every reply."""
    assert RUNGS == ("declared", "page", "contract", "probe", "response")
