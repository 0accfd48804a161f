"""A report written as a file: one module per format, and the table of them.

Every format is written from the same checked :class:`~gateway.reports.document.Document`.
What needs a library of the extra ``reports`` is imported when it is asked for, so that a
gateway without them starts, and says what to install.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from gateway.reports.document import Document, checked, of_section

Write = Callable[[Document, BinaryIO], None]
"""What a format's module exports as ``write``."""


class FormatUnavailable(Exception):
    """A format whose library is not installed. Its text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a format is served: its media type, its file name's end, whether a terminal can show it."""

    media: str
    suffix: str
    binary: bool
    writer: Callable[[], Write]


def _table() -> Write:
    from gateway.reports.writers import text  # noqa: PLC0415 (one format is used at a time)

    return text.write


def _csv() -> Write:
    from gateway.reports.writers import separated  # noqa: PLC0415 (as above)

    return separated.write


def _json() -> Write:
    from gateway.reports.writers import object_notation  # noqa: PLC0415 (as above)

    return object_notation.write


def _xlsx() -> Write:
    from gateway.reports.writers import xlsx  # noqa: PLC0415 (its library may be absent)

    return xlsx.write


def _pdf() -> Write:
    from gateway.reports.writers import pdf  # noqa: PLC0415 (as above)

    return pdf.write


def _parquet() -> Write:
    from gateway.reports.writers import parquet  # noqa: PLC0415 (as above)

    return parquet.write


FORMATS: Final[Mapping[str, Format]] = {
    "table": Format(media="text/plain; charset=utf-8", suffix="txt", binary=False, writer=_table),
    "csv": Format(media="text/csv; charset=utf-8", suffix="csv", binary=False, writer=_csv),
    "json": Format(media="application/json", suffix="json", binary=False, writer=_json),
    "xlsx": Format(
        media="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        suffix="xlsx",
        binary=True,
        writer=_xlsx,
    ),
    "pdf": Format(media="application/pdf", suffix="pdf", binary=True, writer=_pdf),
    "parquet": Format(media="application/vnd.apache.parquet", suffix="parquet", binary=True, writer=_parquet),
}
"""Format → how it is served and what writes it."""


def write(document: Document, form: str, out: BinaryIO, *, section: str = "") -> None:
    """Write a report, or one section of it, in a format.

    Raises :class:`~gateway.reports.document.DocumentWrong` on a report whose totals are not the
    sums of its rows, ValueError on an unknown section, :class:`~gateway.reports.document.TooLong` on
    a report that the format cannot hold, :class:`FormatUnavailable` where the format's library is
    not installed.
    """
    checked(document)
    chosen = of_section(document, section) if section else document
    writer_of(form)(chosen, out)


def writer_of(form: str) -> Write:
    """Return a format's writer, or raise :class:`FormatUnavailable`."""
    try:
        return FORMATS[form].writer()
    except ModuleNotFoundError as missing:
        raise FormatUnavailable(unavailable(form, missing)) from None


def unavailable(form: str, missing: ModuleNotFoundError) -> str:
    """Return the sentence that says which library a format lacks and how to get it."""
    return (
        f"{form} needs the package `{missing.name}`, which is not installed; "
        "install the extra `reports`: pip install 'borderpost[reports]'"
    )


def file_name(document: Document, form: str) -> str:
    """Return the name that a download is saved under: ``chargeback-2026-11.xlsx``."""
    return f"{document.report}-{document.period}.{FORMATS[form].suffix}"
