"""Pages of a vendor's cost API, as fetched or saved: every number exact, every bucket whole.

A file holds one page, a list of pages, or one page a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from gateway.adapters.vendor_costs.cells import BadFile, Cells, opened

MOST_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One result of a bucket. ``cells`` are its fields as text; ``raw`` as parsed, floats as decimals."""

    cells: Cells
    raw: Mapping[str, Any]  # JSON
    bucket: Mapping[str, Any]


def pages(path: Path) -> list[Mapping[str, Any]]:
    """Return the pages of a file. Raises BadFile on what is no JSON, no page, or not the last one."""
    with opened(path) as raw:
        content = raw.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadFile(path.name, 0, f"larger than {MOST_BYTES // 1024 // 1024} MiB; fetch fewer days at once")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFile(path.name, 0, "this is no UTF-8") from None
    found = _documents(path.name, text)
    for number, page in enumerate(found, 1):
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise BadFile(path.name, number, "no page of a cost API: expected an object with `data`")
    if found[-1].get("has_more"):
        raise BadFile(path.name, 0, "the last page says that there are more; fetch them too")
    return found


def _documents(file: str, text: str) -> list[Any]:
    try:
        whole = _parse(text)
        found = whole if isinstance(whole, list) else [whole]
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise BadFile(file, error.lineno, "this is no whole JSON; was the file cut off?") from None
        found = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(_parse(line))
            except json.JSONDecodeError:
                raise BadFile(file, number, "this is no whole JSON; was the file cut off?") from None
            except ValueError as wrong:
                raise BadFile(file, number, str(wrong)) from None
    except ValueError as wrong:
        raise BadFile(file, 1, str(wrong)) from None
    if not found:
        raise BadFile(file, 0, "the file is empty")
    return found


def _parse(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=_no_number)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"`{word}` where a number is expected")


def results(path: Path) -> Iterator[Result]:
    """Return the results of every bucket, numbered from 1 through the file. Raises BadFile."""
    number = 0
    for page in pages(path):
        for bucket in page["data"]:
            if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
                raise BadFile(path.name, number + 1, "a bucket without `results`")
            for raw in bucket["results"]:
                number += 1
                if not isinstance(raw, dict):
                    raise BadFile(path.name, number, "a result that is no object")
                window = {
                    name: _text(bucket.get(name))
                    for name in ("start_time", "end_time", "starting_at", "ending_at")
                    if bucket.get(name) is not None
                }
                values = {**{name: _text(value) for name, value in raw.items()}, **window}
                yield Result(cells=Cells(file=path.name, row=number, values=values), raw=raw, bucket=bucket)


def _text(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value, default=str, sort_keys=True) if isinstance(value, dict | list) else str(value)


def count(result: Result, name: str, of: Mapping[str, Any] | None = None) -> int:
    """Return a count, 0 where it is absent. Raises BadFile on anything but a whole number from 0."""
    value = (result.raw if of is None else of).get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**16:
        raise result.cells.bad(f"`{name}` is `{str(value)[:30]}`; expected a whole number from 0")
    return value
