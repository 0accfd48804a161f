"""The vendor file as a table: CSV, as a vendor-risk officer keeps it, to ``vendors.yaml`` and back.

A row is one document. Its evidence is named by SHA-256 only: the document itself stays where
it is kept, and :func:`missing` says whether a folder holds exactly what the file names.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.policy.problems import PolicyErrors, Problem, did_you_mean
from gateway.policy.schema import VendorModel, VendorsFile
from gateway.policy.source import quoted

COLUMNS = (
    "vendor",
    "legal_name",
    "owner",
    "document",
    "until",
    "evidence",
    "file",
    "uses",
    "notice_days",
    "note",
)
"""The columns of the table; ``vendor``, ``document`` and ``until`` are needed."""

_NEEDED = ("vendor", "document", "until")
_OF_VENDOR = ("legal_name", "owner")
MAX_ROWS = 10_000


def from_csv(text: str, *, file: str = "vendors.csv") -> str:
    """Return ``vendors.yaml`` for a table. Raises PolicyErrors with the line of each mistake."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    vendors: dict[str, dict[str, object]] = {}
    problems: list[Problem] = []
    try:
        problems += _header(file, reader.fieldnames or [])
        for row in reader if not problems else ():
            if reader.line_num > MAX_ROWS:
                problems.append(_at(file, reader.line_num, f"the table has more than {MAX_ROWS:,} lines"))
                break
            problems += _row(file, reader.line_num, row, vendors)
    except csv.Error as error:
        problems.append(_at(file, reader.line_num, f"this is no CSV: {str(error).lower().rstrip('.')}"))
    if problems:
        raise PolicyErrors(problems)
    return _yaml(vendors)


def to_csv(vendors: Mapping[str, VendorModel]) -> str:
    """Return the table of a vendor file, one row a document."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for name, vendor in vendors.items():
        for paper, one in vendor.documents.items():
            row = {
                "vendor": name,
                "legal_name": vendor.legal_name,
                "owner": vendor.owner,
                "document": paper,
                "until": one.until.isoformat(),
                "evidence": one.evidence,
                "file": one.file,
                "uses": " ".join(one.uses or ()),
                "notice_days": one.notice_days,
                "note": one.note,
            }
            writer.writerow({key: _inert(value) for key, value in row.items()})
    return out.getvalue()


def missing(vendors: Mapping[str, VendorModel], folder: Path) -> list[str]:
    """Return what a folder of evidence lacks, or holds in another version than the file names."""
    held = {
        f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}": path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    found: list[str] = []
    for name, vendor in vendors.items():
        for paper, one in vendor.documents.items():
            if one.evidence is None:
                found.append(f"`{paper}` of `{name}` names no evidence")
            elif one.evidence not in held:
                found.append(f"`{paper}` of `{name}`: no file here is {one.evidence[:19]}…")
    return found


def _inert(value: object) -> object:
    """Keep a spreadsheet from taking text for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _at(file: str, line: int, message: str, suggestion: str | None = None) -> Problem:
    return Problem(file=file, line=line, column=1, message=message, suggestion=suggestion)


def _header(file: str, names: object) -> list[Problem]:
    given = [str(name).strip() for name in names] if isinstance(names, list) else []
    found = [
        _at(file, 1, f"unknown column `{name[:40]}`", did_you_mean(name, COLUMNS))
        for name in given
        if name not in COLUMNS
    ]
    return found + [_at(file, 1, f"the column `{name}` is missing") for name in _NEEDED if name not in given]


def _row(
    file: str, line: int, row: Mapping[str | None, object], vendors: dict[str, dict[str, object]]
) -> list[Problem]:
    if row.get(None) is not None:
        return [_at(file, line, "this row has more cells than the header")]
    cells = {str(key).strip(): _cell(value) for key, value in row.items() if _cell(value)}
    if not cells:
        return []
    lacking = [name for name in _NEEDED if name not in cells]
    if lacking:
        return [_at(file, line, f"the cell `{lacking[0]}` is empty")]
    vendor = vendors.setdefault(cells["vendor"], {"documents": {}})
    for key in _OF_VENDOR:
        if key in cells and vendor.setdefault(key, cells[key]) != cells[key]:
            return [_at(file, line, f"`{key}` of `{cells['vendor']}` differs from the row above")]
    documents = vendor["documents"]
    if not isinstance(documents, dict):
        raise TypeError(type(documents).__name__)
    if cells["document"] in documents:
        return [_at(file, line, f"`{cells['document']}` of `{cells['vendor']}` stands twice")]
    paper: dict[str, object] = {
        key: cells[key] for key in ("until", "evidence", "file", "note") if key in cells
    }
    if "uses" in cells:
        paper["uses"] = cells["uses"].replace(",", " ").split()
    if "notice_days" in cells:
        days = cells["notice_days"]
        paper["notice_days"] = int(days) if days.isascii() and days.isdigit() and len(days) < 6 else days
    documents[cells["document"]] = paper
    about = {key: cells[key] for key in _OF_VENDOR if key in cells}
    return _valid(file, line, {cells["vendor"]: {**about, "documents": {cells["document"]: paper}}})


def _cell(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text[1:] if text[:1] == "'" and text[1:2] in {"=", "+", "-", "@"} else text


def _valid(file: str, line: int, vendors: dict[str, object]) -> list[Problem]:
    try:
        VendorsFile.model_validate({"vendors": vendors})
    except ValidationError as error:
        found = []
        for details in error.errors(include_url=False):
            cell = next((str(step) for step in reversed(details["loc"]) if step in COLUMNS), "vendor")
            hint = details.get("ctx", {}).get("suggestion")
            message = str(details.get("ctx", {}).get("message") or _shown(details["input"]))
            found.append(_at(file, line, f"{cell}: {message}", hint))
        return found
    return []


def _shown(value: object) -> str:
    return f"`{str(value)[:40]}` may not stand here"


def _yaml(vendors: Mapping[str, Mapping[str, object]]) -> str:
    """Return the file: one line a document, every text in quotes."""
    lines = ["# yaml-language-server: $schema=schema/vendors.schema.json"]
    lines.append("vendors:" if vendors else "vendors: {}")
    for name, vendor in vendors.items():
        lines.append(f"  {_text(name)}:")
        lines += [f"    {key}: {_text(vendor[key])}" for key in _OF_VENDOR if key in vendor]
        lines.append("    documents:")
        documents = vendor["documents"]
        for paper, cells in documents.items() if isinstance(documents, dict) else ():
            flow = ", ".join(f"{key}: {_flow(value)}" for key, value in cells.items())
            lines.append(f"      {_text(paper)}: {{{flow}}}")
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    return str(value) if isinstance(value, int) else _text(value)


def _text(value: object) -> str:
    return quoted(str(value))
