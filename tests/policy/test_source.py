"""Strict YAML: what is text, what is refused, and where everything stands."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.source import MAX_BYTES, Unquoted, quoted, read, spoken


def test_values_by_the_core_schema():
    """YAML 1.2: NO, on, dates and sexagesimals are text; fractions stay as written."""
    document = read(
        "x.yaml", b"{a: NO, b: on, c: 2026-11-01, d: 12, e: true, f: ~, g: 1.50, h: '12', i: 1:30, j: 0x1F}"
    )
    assert document.data == {
        "a": "NO", "b": "on", "c": "2026-11-01", "d": 12, "e": True, "f": None, "g": "1.50", "h": "12", "i": "1:30",
        "j": "0x1F",
    }  # fmt: skip
    assert isinstance(document.data["g"], Unquoted)


def test_marks():
    """Every key and item knows its line and column; a missing path falls back to the one above."""
    document = read("x.yaml", b"a:\n  b: [1,\n      two]\n")
    assert document.mark(("a", "b")) == (2, 3)
    assert document.mark(("a", "b", 1)) == (3, 7)
    assert document.mark(("a", "b", 7, "x")) == (2, 3)
    assert document.at(("a",)) == "x.yaml:1"
    assert str(document.problem(("a", "b", 1), "wrong", "try")) == "x.yaml:3:7 a.b[1]: wrong; try"
    assert spoken(("rules", 2, "must")) == "rules[2].must"
    assert document.keys(("a",)) == ("b",)
    assert document.keys(("a", "b", 0)) == document.keys(("z",)) == ()


@pytest.mark.parametrize(
    ("raw", "line", "column", "message"),
    [
        (b"a: 1\nb: 2\na: 3", 3, 1, "the key `a` stands twice; the first is at line 1"),
        (b"a: &x 1", 1, 4, "an anchor stands here; write the value out where it is needed"),
        (b"a: {b: *x}", 1, 8, "an alias stands here; write the value out"),
        (
            b"a: !!python/name:os.system x",
            1,
            4,
            "a tag `tag:yaml.org,2002:python/name:os.system` stands here; remove it",
        ),
        (b"a:\n\tb: 1", 2, 1, "a tab stands here; use spaces"),
        (b"1: a", 1, 1, 'the key `1` is not text; quote it: "1"'),
        (b"1.5: a", 1, 1, 'the key `1.5` is not text; quote it: "1.5"'),
        (b"true: a", 1, 1, 'the key `true` is not text; quote it: "true"'),
        (b"? [a]\n: b", 1, 3, "a key must be a word; write `key: value`"),
        (b"a: 1\n---\nb: 1", 2, 1, "a second document starts here; one file holds one document"),
        (b"%YAML 1.1\n---\na: 1", 1, 1, "a directive stands here; remove it; files are YAML 1.2"),
        (b"a: 1\n\xff", 2, 1, "this is not UTF-8 text; save the file as UTF-8"),
        (b"[" * 30, 1, 25, "this is nested more than 24 deep"),
    ],
)
def test_refused(raw, line, column, message):
    """Whatever strict YAML leaves out is refused with its place and the fix."""
    document = read("x.yaml", raw)
    assert [str(problem) for problem in document.problems] == [f"x.yaml:{line}:{column} {message}"]
    assert document.data is None


def test_too_big():
    """A huge file is not parsed at all."""
    assert "larger than" in str(read("x.yaml", b"#" * (MAX_BYTES + 1)).problems[0])


def test_the_parsers_own_words():
    """What the parser finds wrong has its place, in one line without a full stop."""
    for raw in (b"a: [", b"a: b: c", b"a: 'x", b"\x00", b'a: "\\q"'):
        (problem,) = read("x.yaml", raw).problems
        assert problem.line >= 1
        assert "\n" not in problem.message
        assert not problem.message.endswith(".")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_what_is_quoted_is_read_again(text):
    """Any text that we write into a file comes back as it was, on one line."""
    line = quoted(text)
    assert len(line.splitlines()) == 1
    assert read("x.yaml", f"a: {line}\n".encode()).data == {"a": text}


def test_a_byte_order_mark_is_no_text():
    """Editors on Windows put one at the start."""
    assert read("x.yaml", b"\xef\xbb\xbfa: 1").data == {"a": 1}


YAMLISH = st.text(alphabet="ab:-[]{},&*!|>'\"#%@`?~ \n\t\\0129.", max_size=60)


@given(st.one_of(st.binary(max_size=80), YAMLISH.map(str.encode)))
def test_reading_never_raises(raw):
    """Any bytes give data or problems, not an exception, and never both."""
    document = read("x.yaml", raw)
    assert not (document.problems and document.data is not None) or document.problems
    for problem in document.problems:
        assert str(problem).startswith("x.yaml")
