"""``borderpost privacy``: positions and kinds, never the text; scores by the stated rule."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gateway.cli import main

EMAIL = "jane" + "@" + "example.com"


def run(*arguments, given=None):
    return CliRunner().invoke(main, ["privacy", *arguments], input=given)


def test_a_plain_text_is_one_document():
    """From standard input; the answer holds no word of it."""
    done = run("scan", "-", "--no-names", given=f"write to {EMAIL} now")
    assert done.exit_code == 0
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["spans"] == [{"start": 9, "end": 25, "label": "email", "score": 97}]
    assert EMAIL not in done.stdout


def test_json_lines_are_documents_each(tmp_path):
    """With their own ids, in order; without one, the line's number."""
    path = tmp_path / "texts.jsonl"
    path.write_text(f'{{"id": "a", "text": "{EMAIL}"}}\n\n{{"text": "nothing"}}\n', encoding="utf-8")
    lines = [json.loads(line) for line in run("scan", str(path), "--no-names").stdout.splitlines()]
    assert [(line["id"], len(line["spans"])) for line in lines] == [("a", 1), ("3", 0)]


def test_eval_counts(tmp_path):
    """One of two found: precision 1, recall a half; a label of another corpus is understood."""
    rows = [
        {"text": f"to {EMAIL}", "spans": [{"start": 3, "end": 19, "label": "EMAIL_ADDRESS"}]},
        {"text": "to jane at home", "spans": [{"start": 3, "end": 10, "label": "email"}]},
        {"text": "nothing", "spans": []},
    ]
    path = tmp_path / "marked.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = run("eval", str(path), "--no-names")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[1].split() == ["email", "2", "1", "1.000", "0.500", "0.667", "0.556"]
    assert "harmless texts touched 0 of 1" in done.stdout


def test_own_recognizers_are_tried(tmp_path):
    """`--tuning` shows what a file would do before a gateway is started with it."""
    path = tmp_path / "privacy.yaml"
    path.write_text("deny: [{kind: person, values: [Zenith]}]", encoding="utf-8")
    done = run("scan", "-", "--no-names", "--tuning", str(path), given="on Zenith")
    assert [span["label"] for span in json.loads(done.stdout)["spans"]] == ["person"]
    path.write_text("deny: [{kind: nam, values: [Zenith]}]", encoding="utf-8")
    assert "`nam`" in run("scan", "-", "--no-names", "--tuning", str(path), given="x").stderr


@pytest.mark.parametrize("row", ['{"text": 1}', '{"text": "a", "spans": [{"start": 0}]}'])
def test_a_wrong_line_is_named(row):
    """Status 2 and the line's number."""
    done = run("eval", "-", "--no-names", given='{"text": "fine", "spans": []}\n' + row)
    assert done.exit_code == 2
    assert "line 2" in done.stderr
