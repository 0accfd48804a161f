"""Structure in a text: values are found under their keys, and what replaces them still parses."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import patterns, structure
from gateway.core.structure import segments

SIN = "130692" + "544"
NAME = "Renée O'Neil"


def pairs(text):
    return {(segment.key, segment.text) for segment in segments(text)}


@pytest.mark.parametrize(
    "text",
    [
        f'Look: {{"name": {json.dumps(NAME)}, "nas": {SIN}}} please',
        f'```json\n{{\n  "name" : {json.dumps(NAME, ensure_ascii=False)},\n  "nas": "{SIN}"\n}}\n```',
        f"id,name,nas\n1,{NAME},{SIN}",
        f'id;name;nas\n1;"{NAME}";{SIN}',
        f"id\tname\tnas\n1\t{NAME}\t{SIN}",
        f"| id | name | nas |\n|---|---|---|\n| 1 | {NAME} | {SIN} |",
        f"<r>\n <name>{NAME}</name>\n <nas>{SIN}</nas>\n</r>",
        f'<r><field name="name" value="{NAME}"/><field name="nas" value="{SIN}"/></r>',
        f"insert into t (name, nas) values ('{NAME.replace(chr(39), '’')}', {SIN})".replace("’", "’"),
        f'INFO name="{NAME}" nas={SIN} status=ok',
        f"Name: {NAME}\nNAS: {SIN}\nStatus: open",
    ],
)
def test_values_stand_under_their_keys(text):
    """JSON in prose, CSV, TSV, Markdown, XML, SQL, log pairs and forms give the same two values."""
    found = {key.lower(): value for key, value in pairs(text)}
    assert found["name"].replace("’", "'") == NAME
    assert found["nas"] == SIN
    assert ("sin", SIN) in {
        (span.kind, text[span.start : span.end]) for span in structure.scan(text, patterns.KINDS)
    }


@pytest.mark.parametrize(
    "text",
    [
        "Please write a letter, keep it short, and be kind.",
        "Dear all,\nthanks, see you on Monday.\nBest",
        "The ratio is 3:4. Note: this is fine.",
        "def f(a, b):\n    return a + b",
        "",
    ],
)
def test_prose_has_no_structure(text):
    """A comma or a colon makes no table."""
    assert segments(text) == []


def test_positions_lead_back_through_escapes():
    """A value written with escapes is read as meant, and its spans stand where it is written."""
    text = 'say {"note": "caf\\u00e9 \\ud83d\\ude00 mail jane' + "@" + 'example.com"}'
    (segment,) = segments(text)
    assert segment.text.startswith("café 😀 mail")
    (span,) = [s for s in structure.scan(text, frozenset({"email"})) if s.kind == "email"]
    assert text[span.start : span.end] == "jane" + "@" + "example.com"


def test_another_values_word_does_not_count_under_a_dull_key():
    """`account` names the second number, not the order's."""
    text = '{"order": "2624750", "account_no": "1234567"}'.replace("{", "see {")
    spans = {text[s.start : s.end] for s in structure.scan(text, patterns.KINDS) if s.kind == "bank_account"}
    assert spans == {"1234567"}


def replaced(text, new):
    inner = segments(text)
    for segment in sorted(inner, key=lambda s: -s.start):
        if segment.key.lower() in {"name", "nas"}:
            made = structure.dressed(text, segment.start, segment.end, new, inner)
            text = text[: segment.start] + made + text[segment.end :]
    return text


def test_a_token_in_xml_parses_and_reads_as_the_token():
    """`<PERSON_1>` would be an element; it is escaped, and a reader sees the token."""
    text = f"<r><name>{NAME}</name><nas>{SIN}</nas></r>"
    root = ET.fromstring(replaced(text, "<PERSON_1>"))  # noqa: S314 (our own text)
    assert [child.text for child in root] == ["<PERSON_1>", "<PERSON_1>"]


def test_a_token_in_embedded_json_and_csv_parses():
    """A bare number becomes a string; a cell keeps its row."""
    text = f'see {{"name": "{NAME}", "nas": {SIN}}}'
    assert json.loads(replaced(text, "<SIN_1>")[4:]) == {"name": "<SIN_1>", "nas": "<SIN_1>"}
    rows = list(csv.reader(replaced(f'id,name,nas\n1,"{NAME}",{SIN}', "<SIN_1>").splitlines()))
    assert rows[1] == ["1", "<SIN_1>", "<SIN_1>"]


def test_a_number_in_sql_becomes_a_string():
    """Where a number stood unquoted, quotes come with the token."""
    text = f"insert into t (nas, name) values ({SIN}, 'x')"
    assert "values ('<SIN_1>', '<SIN_1>')" in replaced(text, "<SIN_1>")


@given(st.text(alphabet="{}\":,|;\n\t<>/='() aN1\\", max_size=300))
def test_segments_stand_in_the_text(text):
    """Whatever the text, segments lie inside it, and those without escapes are its very characters."""
    for segment in segments(text):
        assert 0 <= segment.start <= segment.end <= len(text)
        if segment.places is None:
            assert text[segment.start : segment.end] == segment.text
        else:
            assert len(segment.places) == len(segment.text) + 1


@pytest.mark.parametrize(
    "bit",
    ['"', '":"', "<a ", "<a>", "'", "insert into t (a) values (", "a=", "|", "name,", "\\", '"a": "', "= '"],
)
def test_hostile_repeats_are_linear(bit):
    """Nothing is tried from every place to every other: it ends."""
    assert len(segments(bit * 20_000)) <= 20_000
