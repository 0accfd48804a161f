"""`borderpost policy due` and `policy vendors`: what somebody at a terminal sees, and exit statuses."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from click.testing import CliRunner

from gateway.cli.policy import command
from tests.policy.written import STARTER

TABLE = "vendor,document,until,evidence\nmicrosoft,dpa,2036-09-15,sha256:{}\nmicrosoft,soc2,2036-03-31,\n"


@pytest.fixture
def folder(tmp_path):
    """A copy of the example of a vendor-risk office, to be changed."""
    return shutil.copytree(STARTER, tmp_path / "policies", ignore=shutil.ignore_patterns("examples", "packs"))


def _run(*words, folder):
    return CliRunner().invoke(command, [words[0], "--folder", str(folder), *words[1:]])


def test_due(folder):
    """What lapsed makes status 1, so that a nightly job can tell somebody."""
    assert _run("due", folder=folder).exit_code == 0
    path = folder / "policy.yaml"
    path.write_text(path.read_text().replace("    owner: vendor-risk\n", "    review_by: 2020-01-01\n"))
    result = _run("due", folder=folder)
    assert result.exit_code == 1
    assert "review the rule V-1" in result.output
    assert "1 lapsed already. This is no legal advice." in result.output


def test_a_table_is_tried_before_it_is_written(folder, tmp_path):
    """Without --write the file is printed; what the bundle cannot use is never written."""
    table = tmp_path / "v.csv"
    table.write_text(TABLE.format("a" * 64))
    printed = _run("vendors", "--import", str(table), folder=folder)
    assert '"dpa": {until: "2036-09-15"' in printed.output
    assert not (folder / "vendors.yaml").exists()
    table.write_text("vendor,document,until\nx,dpa,soon\n")
    wrong = _run("vendors", "--import", str(table), "--write", folder=folder)
    assert (wrong.exit_code, (folder / "vendors.yaml").exists()) == (2, False)
    assert "v.csv:2:1 until: `soon` is no date" in wrong.output
    table.write_bytes(b"vendor,document,until\n\xff,dpa,2036-01-01\n")
    assert "save it as" in _run("vendors", "--import", str(table), folder=folder).output


def test_evidence(folder, tmp_path):
    """The folder of documents is compared by hash; a gap is status 1."""
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "dpa.pdf").write_bytes(b"agreement")
    table = tmp_path / "v.csv"
    table.write_text(TABLE.format(hashlib.sha256(b"agreement").hexdigest()))
    assert _run("vendors", "--import", str(table), "--write", folder=folder).exit_code == 0
    result = _run("vendors", "--evidence", str(papers), folder=folder)
    assert result.exit_code == 1
    assert "1 of 2 documents are backed by a file here" in result.output
    assert "vendor,legal_name" in _run("vendors", folder=folder).output
