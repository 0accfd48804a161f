"""What a closed month says: its rows hashed, its figures frozen; and what is stated again later.

A statement is canonical JSON that any later reader can compute again from the rows. It is signed
where somebody who closes has a key. What is booked about the month afterwards changes none of it: a
restatement is a further version, which names what came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import cast

import orjson
from sqlalchemy import Connection

from gateway.adapters.store_sql import Store, corrections
from gateway.adapters.store_sql import books as rows
from gateway.adapters.store_sql.books import COLUMNS, Closed, Statement
from gateway.adapters.store_sql.keys import log_action
from gateway.adapters.store_sql.periods import hold
from gateway.core.books import FORMAT, Amounts, Group, Row, Tally
from gateway.core.canonical import digest, encode
from gateway.core.gl import postings
from gateway.core.prices import rate_of_window
from gateway.core.snapshot import Snapshot
from gateway.reports.period import day_of, minute_of

STATEMENT = "borderpost-statement-1"
"""Enters every signed message and every statement."""

Entries = tuple[tuple[str, Mapping[str, object]], ...]

Sign = Callable[[bytes], tuple[str, bytes, bytes]]
"""Signs a message: the signer's name, the raw public key, the signature (Ed25519)."""


class NotClosed(Exception):
    """A period is not closed, or not stated again; the text says why and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who closes, for the logs: a token's name and role, or the operating system's user."""

    name: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What closing or stating again did. ``waits`` says that a second person has to close too."""

    period: str
    version: int
    sha256: str
    fresh: bool
    waits: bool
    statement: Mapping[str, object]
    entries: Entries  # for the journal


# ------------------------------------------------------------------------- as it was closed


def tallied(
    connection: Connection,
    currency: str,
    item: Closed,
    columns: Mapping[str, Sequence[str]] = COLUMNS,
    told: Callable[[str, str, bytes], None] | None = None,
) -> Tally:
    """Return hash and sums of a period's rows as they are. ``told`` hears each row's mark."""
    tally = Tally(currency=currency, start_us=item.start_us, columns=columns)
    for table, row in in_order(connection, item, columns):
        short = tally.add(table, row)
        if told is not None:
            told(table, rows.ident(table, row), short)
    return tally


def in_order(
    connection: Connection, item: Closed, columns: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a closed period as they are, in the order of its hash."""
    return rows.rows(
        connection,
        tenant=item.tenant,
        period=item.period,
        start_us=item.start_us,
        end_us=item.end_us,
        columns=columns,
    )


def first(snapshot: Snapshot, item: Closed, tally: Tally, *, now: int, asked: str) -> dict[str, object]:
    """Return what a month says that is closed now. ``asked`` is who asked first, where two people close."""
    last_day = minute_of((item.end_us - 1) * 1000, item.timezone)[:10]
    whole = _sum(tally.groups)
    return {
        "format": STATEMENT,
        "organisation": snapshot.tenant,
        "period": item.period,
        "version": 1,
        "timezone": item.timezone,
        "start_us": item.start_us,
        "end_us": item.end_us,
        "closed_us": item.closed_us,
        "closed_by": item.closed_by,
        "asked_by": asked,
        "reason": item.reason,
        "unread": orjson.loads(item.unread),
        "books": FORMAT,
        "columns": {name: list(columns) for name, columns in tally.columns.items()},
        "sha256": tally.sha256,
        "rows": {name: tally.rows.get(name, 0) for name in tally.columns} | {"late": tally.late},
        "unpriced": tally.unpriced,
        "unconverted": tally.unconverted,
        "currency": snapshot.currency,
        "nano": str(whole.nano),
        "estimated_nano": str(whole.estimated_nano),
        "prices": {currency: str(nano) for currency, nano in sorted(tally.totals.items())},
        "groups": [
            {
                **group._asdict(),
                **{name: str(value) for name, value in asdict(amounts).items()},
            }
            for group, amounts in sorted(tally.groups.items())
        ],
        "gl": [
            {**asdict(posting), "nano": str(posting.nano), "amount": str(posting.amount)}
            for posting in postings(tally.groups, snapshot.books.accounts, on=last_day)
        ],
        "policy": {
            "name": snapshot.policy_name,
            "version": snapshot.policy_version,
            "hash": snapshot.hash,
            "prices": snapshot.prices_hash,
        },
        "rates": [*rates_of(snapshot, item.start_us, item.end_us, tuple(sorted(tally.totals)))],
        "made_us": now // 1000,
    }


def groups_of(statement: Mapping[str, object]) -> dict[Group, Amounts]:
    """Return the figures that a statement froze."""
    found: dict[Group, Amounts] = {}
    for item in cast("list[dict[str, str]]", statement["groups"]):
        sums = {field.name: int(item[field.name]) for field in fields(Amounts)}
        found[Group(*(item[name] for name in Group._fields))] = Amounts(**sums)
    return found


def _sum(groups: Mapping[Group, Amounts]) -> Amounts:
    whole = Amounts()
    for amounts in groups.values():
        whole = whole.plus(amounts)
    return whole


def message(statement: bytes) -> bytes:
    """Return the bytes that are signed for a statement: canonical JSON with its SHA-256."""
    return encode({"format": STATEMENT, "statement": digest(statement)})


def signed(
    snapshot: Snapshot,
    name: str,
    version: int,
    sha256: str,
    statement: Mapping[str, object],
    *,
    now: int,
    by: By,
    sign: Sign | None,
) -> Statement:
    """Return a statement as it is stored, signed if somebody signs."""
    text = encode(statement)
    signer, public, signature = sign(message(text)) if sign is not None else ("", None, None)
    return Statement(
        tenant=snapshot.tenant,
        period=name,
        version=version,
        sha256=sha256,
        statement=text.decode(),
        made_us=now // 1000,
        made_by=by.name,
        signer=signer,
        public=public,
        signature=signature,
    )


def stated(statement: Statement) -> Stated:
    """Return what a statement that was made before says."""
    return Stated(
        period=statement.period,
        version=statement.version,
        sha256=statement.sha256,
        fresh=False,
        waits=False,
        statement=orjson.loads(statement.statement),
        entries=(),
    )


def logged(
    connection: Connection,
    snapshot: Snapshot,
    made: Statement,
    action: str,
    detail: Mapping[str, object],
    *,
    now: int,
    by: By,
) -> Stated:
    """Note a statement in the admin log, and return it with its entry for the journal."""
    log_action(
        connection,
        at_us=now // 1000,
        tenant=snapshot.tenant,
        actor=by.name,
        role=by.role,
        action=action,
        target=made.period,
        detail=detail,
    )
    entry = {
        "tenant": snapshot.tenant,
        "by": by.name,
        "role": by.role,
        "at": now // 1000,
        "version": made.version,
        "statement": digest(made.statement.encode()),
        **detail,
    }
    return Stated(
        period=made.period,
        version=made.version,
        sha256=made.sha256,
        fresh=True,
        waits=False,
        statement=orjson.loads(made.statement),
        entries=((action, entry),),
    )


def rates_of(snapshot: Snapshot, start_us: int, end_us: int, natives: Sequence[str]) -> list[dict[str, str]]:
    """Return the exchange rate of each currency that converts the whole period: one a month."""
    found: list[dict[str, str]] = []
    for native in natives:
        rate = rate_of_window(snapshot, native, snapshot.currency, start=start_us * 1000, end=end_us * 1000)
        if rate is not None:
            found.append(
                {
                    "pair": f"{rate.base}/{rate.quote}",
                    "rate": str(rate.rate),
                    "fixed": day_of(rate.valid_from, "UTC"),  # as the file dates it
                    "source": rate.source,
                }
            )
    return found


# ------------------------------------------------------------------------- stating again


def restate(
    store: Store, snapshot: Snapshot, name: str, *, now: int, by: By, reason: str, sign: Sign | None = None
) -> Stated:
    """State a closed month again with all that was booked about it since, as a further version.

    The figures as closed stay as they are; the new version names what came after. Raises NotClosed.
    """
    if not reason.strip():
        raise NotClosed("a restatement needs a --reason")
    with store.write() as connection:
        hold(connection, closing=True)
        found = rows.closed(connection, snapshot.tenant, name)
        had = rows.statements(connection, snapshot.tenant, name)
        if found is None or not had:
            raise NotClosed(f"{name} is not closed; only a closed month is stated again")
        ids = corrections.about(
            connection,
            tenant=snapshot.tenant,
            period=name,
            start_us=found.start_us,
            end_us=found.end_us,
        )
        if not ids:
            raise NotClosed(f"nothing was booked about {name} since it was closed")
        if len(had) > 1 and named(had[-1]) == ids:
            return stated(had[-1])
        statement, sha256, short = _again(connection, snapshot, had, ids, now=now, by=by, reason=reason)
        made = signed(snapshot, name, len(had) + 1, sha256, statement, now=now, by=by, sign=sign)
        rows.state(connection, made, short)
        detail = {key: statement[key] for key in ("period", "sha256", "reason", "restated_nano", "currency")}
        return logged(connection, snapshot, made, "period.restated", detail, now=now, by=by)


def _again(
    connection: Connection,
    snapshot: Snapshot,
    had: Sequence[Statement],
    ids: Sequence[str],
    *,
    now: int,
    by: By,
    reason: str,
) -> tuple[dict[str, object], str, bytes]:
    first = orjson.loads(had[0].statement)
    sha256, short, found = hashed(connection, ids, COLUMNS)
    corrections = [
        {
            "id": name,
            "billing_period": str(row["billing_period"]),
            "nano": str(row["spend_nano"] or 0) if row["spend_currency"] == first["currency"] else "0",
        }
        for name, (_, row) in found.items()
    ]
    later = sum(int(item["nano"]) for item in corrections)
    statement: dict[str, object] = {
        "format": STATEMENT,
        "organisation": snapshot.tenant,
        "period": had[0].period,
        "version": len(had) + 1,
        "restates": digest(had[-1].statement.encode()),
        "reason": reason.strip(),
        "made_by": by.name,
        "made_us": now // 1000,
        "books": FORMAT,
        "columns": {name: list(columns) for name, columns in COLUMNS.items()},
        "sha256": sha256,
        "currency": first["currency"],
        "closed_nano": first["nano"],
        "corrections_nano": str(later),
        "restated_nano": str(int(first["nano"]) + later),
        "corrections": corrections,
    }
    return statement, sha256, short


def hashed(
    connection: Connection, ids: Sequence[str], columns: Mapping[str, Sequence[str]]
) -> tuple[str, bytes, dict[str, tuple[str, Row]]]:
    """Return hash and marks of the named rows in their order, and the rows that are there."""
    there = corrections.named(connection, ids)
    found = {name: there[name] for name in ids if name in there}
    tally = Tally(currency="", start_us=0, columns=columns)
    for table, row in found.values():
        tally.add(table, row)
    return tally.sha256, bytes(tally.marks), found


def named(statement: Statement) -> list[str]:
    """Return the rows that a restatement names."""
    data = orjson.loads(statement.statement)
    return [item["id"] for item in data["corrections"]]
