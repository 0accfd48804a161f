"""The vendor file as a table: there and back, its mistakes by line, its evidence by hash."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.problems import PolicyErrors
from gateway.policy.vendor_file import COLUMNS, from_csv, missing, to_csv
from tests.policy.written import written

TABLE = f"""vendor,document,until,evidence,owner,notice_days,uses,note
microsoft,dpa,2027-09-15,sha256:{"a" * 64},risk,45,,
microsoft,soc2,2027-03-31,,risk,,,'=1+1
clinic,baa,2027-01-01,,,,"chat, embeddings",
,,,,,,,
"""


def _vendors(yaml: str):
    return written(policy="policy: p", vendors=yaml).vendors


def test_a_table_becomes_the_file():
    """A row is a document; cells that look like formulas are text; empty rows are skipped."""
    vendors = _vendors(from_csv("\ufeff" + TABLE))
    dpa = vendors["microsoft"].documents["dpa"]
    assert (dpa.until.isoformat(), dpa.notice_days, vendors["microsoft"].owner) == ("2027-09-15", 45, "risk")
    assert vendors["microsoft"].documents["soc2"].note == "=1+1"
    assert vendors["clinic"].documents["baa"].uses == ["chat", "embeddings"]


def test_there_and_back():
    """What is printed as a table can be read again and means the same; formulas stay text."""
    vendors = _vendors(from_csv(TABLE))
    table = to_csv(vendors)
    assert "'=1+1" in table
    assert _vendors(from_csv(table)) == vendors
    assert table.splitlines()[0].split(",") == list(COLUMNS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("vendor,documnt,until\n", "v.csv:1:1 unknown column `documnt`; did you mean `document`?"),
        ("vendor,until\n", "v.csv:1:1 the column `document` is missing"),
        ("vendor,document,until\nx,y\n", "v.csv:2:1 the cell `until` is empty"),
        ("vendor,document,until\nx,y,2027-13-01\n", "v.csv:2:1 until: `2027-13-01` is no date; write it as"),
        ("vendor,document,until\nx,y,2027-01-01,z\n", "v.csv:2:1 this row has more cells than the header"),
        ("vendor,document,until\nx,y,2027-01-01\nx,y,2027-01-02\n", "v.csv:3:1 `y` of `x` stands twice"),
        ("vendor,document,until,uses\nx,y,2027-01-01,chatt\n", "v.csv:2:1 uses: `chatt` may not stand here"),
        ("vendor,document,until,evidence\nx,y,2027-01-01,abc\n", "evidence: `abc` may not stand here"),
        ("vendor,document,until,owner\nx,y,2027-01-01,a\nx,z,2027-01-01,b\n", "`owner` of `x` differs"),
        ('vendor,document,until\n"x', "this is no CSV: unexpected end of data"),
    ],
)
def test_mistakes_have_their_line(table, message):
    """Whatever is wrong in the table is said with its line."""
    with pytest.raises(PolicyErrors) as caught:
        from_csv(table, file="v.csv")
    assert message in str(caught.value)


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(CELL, CELL, st.sampled_from(["2027-01-01", "x"]), CELL), max_size=4))
def test_any_table_is_a_file_or_problems(rows):
    """Any cells give a file that loads, or problems; no other exception."""
    lines = ['"' + '","'.join(cell.replace('"', '""') for cell in row) + '"' for row in rows]
    try:
        made = from_csv("\n".join(["vendor,document,until,note", *lines]))
    except PolicyErrors as errors:
        made, problems = "", errors.problems
    else:
        problems = []
        assert _vendors(made) is not None
    assert bool(made) != bool(problems)


def test_evidence_by_hash(tmp_path):
    """A folder holds the very version that the file names, or it does not."""
    (tmp_path / "dpa.pdf").write_bytes(b"agreement")
    digest = hashlib.sha256(b"agreement").hexdigest()
    row = "vendor,document,until,evidence\nx,dpa,2027-01-01,sha256:{}\nx,soc2,2027-01-01,\n"
    assert missing(_vendors(from_csv(row.format(digest))), tmp_path) == ["`soc2` of `x` names no evidence"]
    (tmp_path / "dpa.pdf").write_bytes(b"another")
    lacking = missing(_vendors(from_csv(row.format(digest))), tmp_path)
    assert lacking[0] == f"`dpa` of `x`: no file here is sha256:{digest[:12]}…"
