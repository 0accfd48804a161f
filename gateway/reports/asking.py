"""A report as somebody asks for it: kind, month, grouping, format; the command line and the API ask alike."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from sqlalchemy import Connection

from gateway.core.snapshot import Snapshot
from gateway.reports import render
from gateway.reports.document import Document, TooLong
from gateway.reports.kinds import KINDS, Asked, Build
from gateway.reports.period import month, month_of
from gateway.reports.spend import DEFAULT_BY, grouping, query
from gateway.reports.writers import FORMATS, FormatUnavailable, file_name, write, writer_of


class AskedWrong(ValueError):
    """What was asked for cannot be had. ``param`` names what to change; the text says how."""

    def __init__(self, param: str, message: str) -> None:
        """Take the parameter and the sentence."""
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A report as a file: its bytes, what they are, and the name to save them under."""

    data: bytes
    media: str
    name: str


def rendered(
    snapshot: Snapshot,
    *,
    kind: str,
    month_name: str | None,
    by: str | None,
    form: str,
    section: str = "",
    now: int,
) -> Callable[[Connection], Rendered]:
    """Return the work that reads, builds and writes a report in one transaction.

    ``month_name`` None: this month; ``by`` None: the report's own grouping. Raises, and so does the
    work, :class:`AskedWrong`; the work raises DocumentWrong on a report that contradicts itself.
    """
    if form not in FORMATS:
        raise AskedWrong("format", f"`{form}` is no format of a report; use one of {', '.join(FORMATS)}")
    name = month_name or month_of(now, snapshot.timezone)
    try:
        month(name, snapshot.timezone)
        writer_of(form)  # before anything is read
    except FormatUnavailable as missing:
        raise AskedWrong("format", str(missing)) from None
    except ValueError as wrong:
        raise AskedWrong("month", str(wrong)) from None
    if kind == "spend" and form in render.FORMATS and not section:
        return _spend(snapshot, name, by, form, now)
    names = tuple(part.strip() for part in (by or "").split(",") if part.strip())
    try:
        document = builder(kind)(snapshot, Asked(month=name, by=names, now=now))
    except ValueError as wrong:
        raise AskedWrong("by" if names else "kind", str(wrong)) from None

    def work(connection: Connection) -> Rendered:
        try:
            found = document(connection)
        except ValueError as wrong:
            raise AskedWrong("by" if names else "kind", str(wrong)) from None
        return written(found, form, section)

    return work


def written(document: Document, form: str, section: str = "") -> Rendered:
    """Write a report. Raises :class:`AskedWrong` on an unknown section, or what the format cannot hold."""
    if section and section not in {one.name for one in document.sections}:
        known = ", ".join(one.name for one in document.sections)
        raise AskedWrong("section", f"`{section}` is no section of this report; use one of {known}")
    out = io.BytesIO()
    try:
        write(document, form, out, section=section)
    except TooLong as wrong:
        raise AskedWrong("format", str(wrong)) from None
    return Rendered(data=out.getvalue(), media=FORMATS[form].media, name=file_name(document, form))


def builder(kind: str) -> Build:
    """Return what builds a report, from its module. Raises :class:`AskedWrong` on an unknown kind."""
    if kind not in KINDS:
        raise AskedWrong("kind", f"there is no report `{kind}`; use one of {', '.join(KINDS)}")
    return cast("Build", import_module(KINDS[kind][0]).build)


def _spend(
    snapshot: Snapshot, name: str, by: str | None, form: str, now: int
) -> Callable[[Connection], Rendered]:
    """Return the spend report in the three formats that it has had from the first."""
    try:
        names = DEFAULT_BY if by is None else grouping(by)
    except ValueError as wrong:
        raise AskedWrong("by", str(wrong)) from None
    work = query(snapshot, month_name=name, by=names, now=now)
    media, as_text = render.FORMATS[form]

    def found(connection: Connection) -> Rendered:
        text = as_text(work(connection))
        data = text if isinstance(text, bytes) else text.encode()
        return Rendered(data=data, media=media, name=f"spend-{name}.{FORMATS[form].suffix}")

    return found
