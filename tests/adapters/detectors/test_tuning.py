"""Own allow-lists, deny-lists and recognizers: what they do, and what is refused at start."""

from __future__ import annotations

import pytest

from gateway.adapters.detectors.memory import ScriptedDetector
from gateway.adapters.detectors.tuning import TunedDetector, TuningError, load_tuning
from gateway.ports import DetectorUnavailable, Text

FILE = """
allow:
  - {value: Maple Bank, kinds: [organisation]}
  - {value: info@maple.example}
deny:
  - {kind: person, values: [Project Zenith, Zenith]}
recognizers:
  - name: employee number
    kind: national_id
    pattern: "EMP-[0-9]{6}"
    context: [employee, matricule]
    finds: ["employee EMP-204816"]
    leaves: ["TEMP-204816", "EMP-204816 parcel"]
"""


def written(tmp_path, text):
    path = tmp_path / "privacy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


async def found(tmp_path, text, *, key=None, kinds=None, file=FILE):
    inner = ScriptedDetector(
        {"Maple Bank": "organisation", "maple bank": "person", "info@maple.example": "email"}
    )
    detector = TunedDetector(inner, load_tuning(written(tmp_path, file)))
    (spans,) = await detector.detect([Text(text=text, context=key)], kinds or detector.kinds)
    return [(span.kind, text[span.start : span.end]) for span in spans]


async def test_allowed_values_are_never_reported(tmp_path):
    """By value in any case and, where kinds are named, for those kinds alone."""
    assert await found(tmp_path, "Maple Bank, info@maple.example") == []
    assert await found(tmp_path, "maple bank") == [("person", "maple bank")]


async def test_denied_words_are_always_reported(tmp_path):
    """As whole words, in any case, the longest first."""
    assert await found(tmp_path, "about PROJECT zenith and zeniths") == [("person", "PROJECT zenith")]


async def test_a_recognizer_needs_its_word(tmp_path):
    """A context word near it, or in the key."""
    assert await found(tmp_path, "employee EMP-204816") == [("national_id", "EMP-204816")]
    assert await found(tmp_path, "EMP-204816", key="matricule") == [("national_id", "EMP-204816")]
    assert await found(tmp_path, "EMP-204816") == []
    assert await found(tmp_path, "employee XEMP-2048161") == []


async def test_only_wanted_kinds(tmp_path):
    """What nobody asked for is not reported, and the inner detector is asked for its own kinds only."""
    assert await found(tmp_path, "Zenith", kinds=frozenset({"email"})) == []


async def test_a_detector_that_is_down_stays_down(tmp_path):
    """Own words never turn an outage into an answer."""
    inner = ScriptedDetector({"x": "email"})
    inner.down = True
    detector = TunedDetector(inner, load_tuning(written(tmp_path, FILE)))
    assert detector.kinds == {"email", "person", "national_id"}
    assert detector.name.startswith(inner.name)
    with pytest.raises(DetectorUnavailable):
        await detector.detect([Text(text="Zenith")], detector.kinds)


RECOGNIZER = "recognizers: [{{name: n, kind: sin, pattern: '{pattern}', finds: ['{finds}']}}]"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("allow: [", "not YAML"),
        ("alow: []", "alow"),
        ("deny: [{kind: nam, values: [x]}]", "`nam`"),
        ("allow: [{value: xx, kinds: [nam]}]", "`nam`"),
        ("deny: [{kind: sin, values: []}]", "values"),
        (RECOGNIZER.format(pattern="(a", finds="x"), "does not compile"),
        (RECOGNIZER.format(pattern="[0-9]+", finds="1"), "characters"),
        (RECOGNIZER.format(pattern="([0-9]{1,9}x?){1,9}", finds="1"), "repeats"),
        (RECOGNIZER.format(pattern="a{1,9}a{1,9}a{1,9}a{1,9}", finds="aaaa"), "repeats"),
        (RECOGNIZER.format(pattern="(a{1,5})(?:b|c)\\1", finds="aba"), "repeats"),
        (RECOGNIZER.format(pattern="E[0-9]{6}", finds="E12"), "does not find"),
        (
            "recognizers: [{name: n, kind: sin, pattern: 'E[0-9]', finds: [E1], leaves: ['see E1']}]",
            "does not leave",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, word):
    """With a sentence that says what to change; a pattern that could take long is wrong too."""
    with pytest.raises(TuningError, match=word):
        load_tuning(written(tmp_path, text))


def test_a_missing_file_is_refused_and_an_empty_one_is_fine(tmp_path):
    """A setting that names nothing would fail open."""
    with pytest.raises(TuningError, match="cannot be read"):
        load_tuning(tmp_path / "none.yaml")
    assert load_tuning(written(tmp_path, "")).kinds == frozenset()
