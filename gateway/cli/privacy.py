"""``borderpost privacy``: see what detection finds in a text, and how well on marked texts.

Nothing is sent anywhere and nothing is kept: texts go to the detectors of this process.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from gateway.cli.opened import stop
from gateway.core.accuracy import Marked, Score, only
from gateway.core.overlap import clustered
from gateway.core.values import Span
from gateway.ports import Detector, DetectorUnavailable, Text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_BATCH = 64

# Labels of well-known corpora in our words.
_ALIASES = {
    "PERSON": "person", "PER": "person", "LOCATION": "location", "GPE": "location", "LOC": "location",
    "ADDRESS": "address", "STREET_ADDRESS": "address", "ORGANIZATION": "organisation", "ORG": "organisation",
    "PHONE_NUMBER": "phone", "EMAIL_ADDRESS": "email", "CREDIT_CARD": "card", "IBAN_CODE": "iban",
    "US_SSN": "us_ssn", "SSN": "us_ssn", "IP_ADDRESS": "ip", "US_DRIVER_LICENSE": "driver_licence",
    "DRIVER_LICENSE": "driver_licence", "SECRET": "secret", "PASSPORT": "passport",
}  # fmt: skip


@click.group("privacy")
def command() -> None:
    """See what detection finds, and measure it."""


_names = click.option(
    "--names/--no-names",
    default=True,
    help="Ask the language models for names, places and organisations too [on].",
)
_ner_en = click.option("--ner-en", metavar="MODEL", help="Another model for English, as `detectors.ner_en`.")
_ner_fr = click.option("--ner-fr", metavar="MODEL", help="Another model for French, as `detectors.ner_fr`.")
_tuning = click.option(
    "--tuning", type=click.Path(path_type=Path, dir_okay=False), help="The file of `detectors.tuning`."
)


@command.command("scan")
@click.argument("file", type=click.File(encoding="utf-8"))
@_names
@_ner_en
@_ner_fr
@_tuning
def scan(file: IO[str], *, names: bool, ner_en: str | None, ner_fr: str | None, tuning: Path | None) -> None:
    """Print what is found in FILE (`-` for standard input) as JSON lines.

    A line is `{"id", "spans": [{"start", "end", "label", "score"}]}`. FILE is one text, or JSON
    lines `{"id", "text"}`. The text itself is not printed.
    """
    texts = list(_texts(file.read(), str(file.name)))
    looked = _Looked(names=names, models=_models(ner_en, ner_fr), tuning=tuning)
    found = _found([text for _, text, _ in texts], looked)
    for (name, _, _), spans in zip(texts, found, strict=True):
        shown = [
            {"start": span.start, "end": span.end, "label": span.kind, "score": span.score} for span in spans
        ]
        click.echo(json.dumps({"id": name, "spans": shown}, ensure_ascii=False))


@command.command("eval")
@click.argument("file", type=click.File(encoding="utf-8"))
@_names
@_ner_en
@_ner_fr
@_tuning
@click.option("--labels", help="Kinds that count, with commas [all that are marked].")
@click.option(
    "--same", multiple=True, metavar="KIND=KIND", help="Count one kind as another: address=location."
)
def evaluate(
    file: IO[str],
    *,
    names: bool,
    ner_en: str | None,
    ner_fr: str | None,
    tuning: Path | None,
    labels: str | None,
    same: Sequence[str],
) -> None:
    """Score detection on FILE: JSON lines `{"text", "spans": [{"start", "end", "label"}]}`.

    A marked span is found when at least half of its characters (white space aside) are covered
    by finds of its kind; a find is right when at least half of its own lie in marked spans of
    its kind. F2 counts recall four times as much as precision. The leak rate is the share of
    marked characters that no find of any kind covers.
    """
    texts = list(_texts(file.read(), str(file.name)))
    alike = dict(pair.split("=", 1) for pair in same if "=" in pair)
    marked = [spans for _, _, spans in texts]
    kinds = frozenset(labels.split(",")) if labels else frozenset(s.kind for spans in marked for s in spans)
    kinds = frozenset(alike.get(kind, kind) for kind in kinds)
    looked = _Looked(names=names, models=_models(ner_en, ner_fr), tuning=tuning)
    start = time.monotonic()
    found = _found([text for _, text, _ in texts], looked)
    click.echo(report(score(texts, found, kinds, alike), time.monotonic() - start))


def score(
    texts: Sequence[tuple[str, str, Sequence[Marked]]],
    found: Sequence[Sequence[Span]],
    kinds: frozenset[str],
    alike: Mapping[str, str],
) -> Score:
    """Count finds against marks, for the kinds that count."""
    total = Score()
    for (_, text, marks), spans in zip(texts, found, strict=True):
        told = [Marked(span.kind, span.start, span.end) for span in spans]
        total.add(text, only(marks, kinds, alike), only(told, kinds, alike))
    return total


def report(total: Score, seconds: float) -> str:
    """Return a score as a table."""
    lines = [f"{'label':<16} {'marked':>6} {'finds':>6}  precision  recall    F1    F2"]
    for kind, count in [*sorted(total.by_kind.items()), ("all", total.overall)]:
        lines.append(
            f"{kind:<16} {count.marked:>6} {count.finds:>6}  {count.precision:>9.3f}  {count.recall:>6.3f}"
            f" {count.f(1):>5.3f} {count.f(2):>5.3f}"
        )
    rate = total.characters / 1000 / seconds if seconds else 0.0
    touched = f"harmless texts touched {total.touched_harmless} of {total.harmless}"
    size = f"{total.texts} texts, {total.characters / 1000:.0f} K characters"
    lines.append(f"leak rate {total.leak_rate:.3f}   {touched}   {size} in {seconds:.1f} s ({rate:.0f} K/s)")
    return "\n".join(lines)


def _texts(content: str, name: str) -> Iterator[tuple[str, str, list[Marked]]]:
    """Yield each text of a file with its id and its marks."""
    rows = content.splitlines()
    first = _object(rows[0]) if rows else None
    if first is None or "text" not in first:
        yield name, content, []
        return
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        one = _object(row)
        text = one.get("text") if one is not None else None
        if one is None or not isinstance(text, str):
            stop(f"line {number} is no object with a string `text`")
        raw = one.get("spans", [])
        try:
            spans = [
                Marked(
                    _ALIASES.get(str(span["label"]), str(span["label"])), int(span["start"]), int(span["end"])
                )
                for span in (raw if isinstance(raw, list) else [])
            ]
        except (KeyError, TypeError, ValueError):
            stop(f"line {number}: a span needs `start`, `end` and `label`")
        yield str(one.get("id", number)), text, spans


def _marked(span: Mapping[str, object]) -> Marked:
    label = str(span["label"])
    return Marked(_ALIASES.get(label, label), int(str(span["start"])), int(str(span["end"])))


def _object(row: str) -> dict[str, object] | None:
    try:
        value = json.loads(row)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """How to look: with the language models or without, which ones, and tuned how."""

    names: bool
    models: Mapping[str, str]
    tuning: Path | None


def _models(ner_en: str | None, ner_fr: str | None) -> dict[str, str]:
    return {language: named for language, named in (("en", ner_en), ("fr", ner_fr)) if named}


def _found(texts: Sequence[str], looked: _Looked) -> list[list[Span]]:
    """Return what is found in each text; ends the command where a detector cannot start."""

    async def ask() -> list[list[Span]]:
        async with _detector(looked) as detector:
            found: list[list[Span]] = []
            for at in range(0, len(texts), _BATCH):
                batch = [Text(text=text) for text in texts[at : at + _BATCH]]
                found += [clustered(spans) for spans in await detector.detect(batch, detector.kinds)]
            return found

    try:
        return asyncio.run(ask())
    except DetectorUnavailable as why:
        stop(f"{why}; or leave the language models out with --no-names")
    sys.exit(1)


@asynccontextmanager
async def _detector(looked: _Looked) -> AsyncIterator[Detector]:
    from gateway.adapters.detectors.inline import InlineDetector  # noqa: PLC0415 (only when used)
    from gateway.adapters.detectors.layered import LayeredDetector  # noqa: PLC0415
    from gateway.adapters.detectors.presidio import PresidioPool  # noqa: PLC0415
    from gateway.adapters.detectors.tuning import TunedDetector, TuningError, load_tuning  # noqa: PLC0415

    detector: Detector = InlineDetector()
    pool = PresidioPool(timeout_ms=60_000, models=looked.models) if looked.names else None
    if pool is not None:
        await pool.start()
        detector = LayeredDetector(detector, pool)
    try:
        if looked.tuning is not None:
            try:
                detector = TunedDetector(detector, load_tuning(looked.tuning))
            except TuningError as wrong:
                stop(str(wrong))
        yield detector
    finally:
        if pool is not None:
            await pool.close()
