"""The fold that turns journal entries back into rows.

The projector and adoption read the same entries through the same fold, so a dead
writer's rows are the rows that it would have made itself. Pure: entries in, facts
out; who inserts them where is the adapters' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, NotRequired, TypedDict, cast

import orjson

from gateway.core.record import BUCKETS, Data, Entry

Value = str | int | bool | None
Row = dict[str, Value]


class Spend(NamedTuple):
    """An amount booked against one window of the writer that held the slice."""

    budget: str
    window: str
    unit: str
    resets_us: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """One ledger row to insert, and what it spends. ``owner`` is the writer of the intent."""

    row: Row
    spends: tuple[Spend, ...]
    owner: str
    adopted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One records row to insert."""

    row: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """An entry that another room's handler projects (``feedback``, ``key.created`` …)."""

    entry: Entry


Fact = Booking | Recorded | Other


class Fold:
    """Folds one writer's entries, in order, into rows.

    ``open`` holds the attempts whose outcome has not been seen, ``unrecorded`` the
    calls (attempt → intent) whose record has not: after the last entry of a dead
    writer these are what adoption must book.
    """

    def __init__(self) -> None:
        """Start before the first entry of a writer."""
        self.open: dict[str, Data] = {}
        self.unrecorded: dict[str, tuple[Data, Data | None]] = {}

    def step(self, entry: Entry) -> list[Fact]:
        """Take one entry and return the facts that it completes."""
        data = entry.data
        match entry.kind:
            case "attempt.intent":
                self.open[_text(data, "attempt")] = data
                self.unrecorded[_text(data, "call")] = (data, None)
                return []
            case "attempt.top_up":
                found = self.open.get(_text(data, "attempt"))
                if found is not None:
                    self.open[_text(data, "attempt")] = {**found, **data}
                return []
            case "attempt.outcome":
                return self._outcome(entry, data)
            case "call.record":
                return self._record(entry, data)
            case _:
                return [Other(entry=entry)]

    def _record(self, entry: Entry, data: Data) -> list[Fact]:
        facts: list[Fact] = []
        last = _object(data.get("attempt"))
        if last:
            facts += self._outcome(entry, last)
        known = self.unrecorded.pop(_text(data, "call"), None)
        deployment = _maybe(known[0] if known else data, "deployment")
        facts.append(Recorded(row=_record_row(entry, deployment)))
        return facts

    def _outcome(self, entry: Entry, data: Data) -> list[Fact]:
        begun = self.open.pop(_text(data, "attempt"), None)
        adopted = _object(data.get("adopted_from"))
        owner = entry.writer
        if adopted:
            # An adopter's entry carries the dead writer's intent, so that it can be
            # projected without that writer's journal.
            owner = _text(adopted, "writer")
            begun = _object(adopted.get("intent")) or begun
        if begun is None:
            return []  # already booked, for example as an outcome entry before its record
        if not adopted:
            known = self.unrecorded.get(_text(data, "call"))
            if known is not None:
                self.unrecorded[_text(data, "call")] = (known[0], data)
        return [
            Booking(
                row=_ledger_row(entry, begun, data),
                spends=_spends(begun, data),
                owner=owner,
                adopted=bool(adopted),
            )
        ]


# What the rows are made of. Every entry of every call passes here, so fields are taken in one go;
# they are not checked one by one, since what our own chain says is ours, and a column refuses what
# it cannot hold.


class _Held(TypedDict):
    budget: str
    window: str
    unit: str
    resets: int
    amount: str


class _Line(TypedDict):
    meter: str
    quantity: int
    price_id: str
    unit_price: str
    per: int


class _Charge(TypedDict):
    nano: str
    currency: str
    lines: list[_Line]
    list: NotRequired[str]
    contracted: NotRequired[str]
    band: NotRequired[int]
    at_most: NotRequired[bool]


def _columns(*pairs: tuple[str, str]) -> tuple[tuple[str, ...], itemgetter[tuple[Value, ...]]]:
    """Return the columns of a row, and what takes their fields (column ← field) from an entry."""
    return tuple(column for column, _ in pairs), itemgetter(*(name for _, name in pairs))


_LEDGER_OF_INTENT = _columns(
    ("attempt_id", "attempt"), ("call_id", "call"), ("number", "number"), ("started_us", "started"),
    ("tenant", "tenant"), ("team", "team"), ("app", "app"), ("key_id", "key"), ("cost_centre", "cost_centre"),
    ("alias", "alias"), ("deployment", "deployment"), ("vendor", "vendor"), ("model", "model"),
    ("surface", "surface"), ("snapshot", "snapshot"),
)  # fmt: skip
_LEDGER_OF_OUTCOME = _columns(
    ("ended_us", "ended"), ("vendor_model", "vendor_model"), ("vendor_id", "vendor_id"),
    ("status", "status"), ("code", "code"), ("estimated", "estimated"), ("overrun", "overrun"),
)  # fmt: skip
_RECORD = _columns(
    ("call_id", "call"), ("tenant", "tenant"), ("team", "team"), ("app", "app"), ("key_id", "key"),
    ("surface", "surface"), ("asked", "asked"), ("alias", "alias"), ("stream", "stream"),
    ("received_us", "received"), ("ended_us", "ended"), ("outcome", "outcome"), ("status", "status"),
    ("decision", "decision"), ("attempts", "attempts"), ("snapshot", "snapshot"), ("use", "use"),
)  # fmt: skip
_USAGE = _columns(*((bucket, bucket) for bucket in BUCKETS))
_NOTHING: Row = dict.fromkeys(BUCKETS, 0)


def _ledger_row(entry: Entry, begun: Data, ended: Data) -> Row:
    usage = _object(ended.get("usage"))
    charge = cast("_Charge | None", ended.get("charge"))
    spend = cast("_Charge | None", ended.get("spend"))
    priced = charge.get("lines", []) if charge else []
    columns, fields = _LEDGER_OF_INTENT
    row: Row = dict(zip(columns, fields(begun), strict=True))
    columns, fields = _LEDGER_OF_OUTCOME
    row.update(zip(columns, fields(ended), strict=True))
    if usage:
        columns, fields = _USAGE
        row.update(zip(columns, fields(usage), strict=True))
    else:
        row.update(_NOTHING)
    row["writer"], row["seq"] = entry.writer, entry.seq
    row["first_us"] = cast("int | None", ended.get("first"))
    row["place"] = ",".join(cast("list[str]", begun["place"]))
    row["currency"], row["nano"] = (charge["currency"], int(charge["nano"])) if charge else (None, None)
    row["spend_currency"], row["spend_nano"] = (
        (spend["currency"], int(spend["nano"])) if spend else (None, None)
    )
    row["list_nano"] = int(charge["list"]) if charge and "list" in charge else None
    row["contracted_nano"] = int(charge["contracted"]) if charge and "contracted" in charge else None
    row["band"] = charge.get("band", 0) if charge else 0
    row["at_most"] = bool(charge and charge.get("at_most"))
    row["tier"], row["served_place"] = _maybe(usage, "tier") or "", _maybe(usage, "place") or ""
    row["units"] = _json(usage.get("units"), "{}")
    row["price_ids"] = ",".join(sorted({line["price_id"] for line in priced}))
    row["lines"] = orjson.dumps(priced).decode() if priced else "[]"
    return row


def _spends(begun: Data, ended: Data) -> tuple[Spend, ...]:
    """Match what was spent per budget with the windows that the intent held."""
    amounts = cast("dict[str, str]", ended.get("spends") or {})
    holds = cast("list[_Held]", begun.get("holds") or [])
    return tuple(
        [
            Spend(held["budget"], held["window"], held["unit"], held["resets"], int(amounts[held["budget"]]))
            for held in holds
            if held["budget"] in amounts
        ]
    )


def _record_row(entry: Entry, deployment: str | None) -> Row:
    data = entry.data
    last = _object(data["attempt"])
    columns, fields = _RECORD
    row: Row = dict(zip(columns, fields(data), strict=True))
    row["asked"] = _text(data, "asked")[:256]
    row["rules"], row["labels"] = _json(data["rules"], "[]"), _json(data["labels"], "[]")
    row["features"] = _json(data["features"], "[]")
    row["masked"], row["masked_reply"] = _json(data["masked"], "{}"), _json(data["masked_reply"], "{}")
    row["degraded"] = _json(data["degraded"], "{}") if data.get("degraded") else None
    row["writer"], row["seq"] = entry.writer, entry.seq
    row["deployment"] = deployment
    row["attempt_id"] = _maybe(last, "attempt") or _maybe(data, "last_attempt")
    row["vendor_id"], row["vendor_model"] = _maybe(last, "vendor_id"), _maybe(last, "vendor_model")
    return row


def _json(value: object, empty: str) -> str:
    """Return a list or an object as canonical text; most are empty."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if value else empty


def _object(value: object) -> Data:
    return cast("Data", value) if isinstance(value, dict) else {}


def _text(data: Data, key: str) -> str:
    value = data[key]
    if not isinstance(value, str):
        raise TypeError(f"journal field `{key}` is not a string")
    return value


def _maybe(data: Data, key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) else None
