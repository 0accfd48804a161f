"""Checking closed months: every statement is computed again from the rows that it covers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson
from sqlalchemy import Connection

from gateway.adapters.journal_read import Garbled, parse, segments
from gateway.adapters.store_sql import books as rows
from gateway.adapters.store_sql.books import COLUMNS, Closed, Statement
from gateway.core.books import first_difference, line, mark
from gateway.core.canonical import digest, encode
from gateway.reports.statements import NotClosed, groups_of, hashed, in_order, message, tallied


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check of one statement found. ``problems`` is empty if it holds."""

    period: str
    version: int
    sha256: str
    rows: int
    signer: str
    problems: tuple[str, ...]


def verify(
    connection: Connection,
    tenant: str,
    period: str,
    *,
    genuine: Callable[[str, bytes, bytes, bytes], str],
    noted: Mapping[tuple[str, int], str] | None = None,
) -> list[Checked]:
    """Compute every statement of a closed period again and name the first difference.

    ``genuine(signer, public, signature, message)`` returns what is wrong with a signature, or "".
    ``noted`` is what the journal says of statements, as :func:`noted_in` reads it.
    Raises NotClosed if the period is not closed.
    """
    item = rows.closed(connection, tenant, period)
    statements = rows.statements(connection, tenant, period)
    if item is None or not statements:
        raise NotClosed(f"{period} is not closed: there is nothing to verify yet")
    found: list[Checked] = []
    before = ""
    for statement in statements:
        problems = list(_wrong_frame(statement, item, before, genuine))
        count = 0
        try:
            data = orjson.loads(statement.statement)
            count, wrong = _recomputed(connection, item, statement, data)
            problems += wrong
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            problems.append("the statement is not as it was written")
        before = digest(statement.statement.encode())
        if noted is not None and noted.get((period, statement.version), before) != before:
            problems.append("the journal noted another statement when it was made")
        found.append(
            Checked(
                period=period,
                version=statement.version,
                sha256=statement.sha256,
                rows=count,
                signer=statement.signer,
                problems=tuple(problems),
            )
        )
    return found


def noted_in(journals: Path, tenant: str) -> dict[tuple[str, int], str]:
    """Return the SHA-256 of each statement, by period and version, as journals on this machine noted it.

    Their chains are verified by ``borderpost audit verify``; what no journal here noted is not in it.
    """
    found: dict[tuple[str, int], str] = {}
    for folder in sorted(journals.glob("*/*")):
        for segment in segments(folder):
            with segment.open("rb") as file:
                for text in file:
                    if b'"kind":"period.' not in text:
                        continue
                    try:
                        entry = parse(text.rstrip(b"\n"))
                    except Garbled:
                        continue
                    data = entry.data
                    if entry.kind in _STATED and data.get("tenant") == tenant:
                        key = (str(data.get("period")), int(str(data.get("version", 0))))
                        found.setdefault(key, str(data.get("statement")))
    return found


_STATED = frozenset({"period.closed", "period.restated"})


def _wrong_frame(
    statement: Statement, item: Closed, before: str, genuine: Callable[[str, bytes, bytes, bytes], str]
) -> Iterator[str]:
    text = statement.statement.encode()
    try:
        data = orjson.loads(text)
        canonical = encode(data) == text
    except (orjson.JSONDecodeError, ValueError):
        yield "the statement is not canonical JSON: it was edited"
        return
    if not canonical:
        yield "the statement is not in canonical form: it was edited"
    if data.get("sha256") != statement.sha256:
        yield "the statement and its row name different hashes"
    if statement.version == 1 and (data.get("start_us"), data.get("end_us")) != (item.start_us, item.end_us):
        yield "the bounds of the period are not those of the statement"
    if statement.version > 1 and data.get("restates") != before:
        yield f"version {statement.version} does not follow version {statement.version - 1} as it is now"
    if statement.signature is not None and statement.public is not None:
        wrong = genuine(statement.signer, statement.public, statement.signature, message(text))
        if wrong:
            yield wrong


def _recomputed(
    connection: Connection, item: Closed, statement: Statement, data: Mapping[str, object]
) -> tuple[int, list[str]]:
    columns = cast("dict[str, list[str]]", data["columns"])
    for table, names in columns.items():
        gone = [name for name in names if name not in COLUMNS[table]]
        if gone:
            return 0, [f"`{table}.{gone[0]}` is in the hash and no longer in the database"]
    kept = rows.marks(connection, item.tenant, item.period, statement.version)
    if statement.version > 1:
        ids = [entry["id"] for entry in cast("list[dict[str, str]]", data["corrections"])]
        sha256, _, found = hashed(connection, ids, columns)
        gone = [name for name in ids if name not in found]
        if gone:
            return len(found), [f"`{gone[0]}` is gone"]
        again = [
            (table, name, mark(line(table, row, columns[table]))) for name, (table, row) in found.items()
        ]
        count = len(again)
    else:
        tally = tallied(connection, str(data["currency"]), item, columns)
        sha256, count = tally.sha256, sum(tally.rows.values())
        again = None
        if sha256 == statement.sha256 and (groups_of(data), data["nano"]) != (tally.groups, str(tally.nano)):
            return count, ["the figures of the statement are not the sums of its rows: it was edited"]
    if sha256 == statement.sha256:
        return count, []
    now = again if again is not None else _marked(connection, item, columns)
    difference = first_difference(kept, now)
    if difference is None:
        return count, ["the rows are as they were, the hash is not: the statement was edited"]
    table = "attempt" if difference.table == "ledger" else "entry"
    name = difference.id.partition(":")[2] if again is not None else difference.id
    match difference.what:
        case "missing" if not difference.id:
            said = "the last row is gone"
        case "missing":
            said = f"a row before {table} `{name}` is gone"
        case "added":
            said = f"{table} `{name}` was not there when the period was closed"
        case _:
            said = f"{table} `{name}` was changed"
    return count, [f"{said}: the hash is {sha256[:12]}…, not {statement.sha256[:12]}…"]


def _marked(
    connection: Connection, item: Closed, columns: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, bytes]]:
    for table, row in in_order(connection, item, columns):
        yield table, rows.ident(table, row), mark(line(table, row, columns[table]))
