"""A vendor's bill in one normal form, and the names by which a vendor and we call the same model.

Readers of every export turn a line into a :class:`BillLine`: exact decimals, a half-open window in
UTC, one meter. Everything that compares a bill with the ledger starts from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Kind = Literal["usage", "fee", "tax", "credit", "discount"]
"""``fee`` is paid whatever is used (a commitment, a seat); only ``usage`` is matched with calls."""

METERS = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output",
    "input_audio", "output_audio", "input_image", "request",
)  # fmt: skip
"""The meters that both sides know. ``""`` is a line that names none; any other name is the vendor's own."""

_SAME_METER = {"reasoning": "output", "cache_write": "cache_write_5m", "output_image": "output"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line of a bill. ``row`` is where it stands in its file, counted as an editor does.

    ``quantity`` is in single units (tokens, not millions). A source that counts but does not
    charge has no ``amount``; one that charges but does not count has no ``quantity``.
    """

    row: int
    start_us: int
    end_us: int
    account: str
    model: str  # as the vendor calls it; "" where the line names none
    sku: str
    meter: str
    quantity: Decimal | None
    unit: str
    amount: Decimal | None
    currency: str
    kind: Kind
    ref: str  # the vendor's own id of the line, or its digest
    digest: str  # SHA-256 of the line as it was read
    month: str  # the billing period, 2026-11
    pricing_amount: Decimal | None = None  # before the vendor's own conversion
    pricing_currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """How a vendor's bill comes in and from which difference on it needs a decision, as declared.

    ``api`` is "" where nothing is fetched. ``models`` maps the vendor's names to ours.
    """

    vendor: str
    api: str = ""  # openai | anthropic
    url: str = ""  # the origin
    secret: str | None = None  # reference of an admin key
    currency: str = ""  # the only one that a bill of this vendor may be in; "" any
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    percent_ppm: int = 10_000  # parts per million: 1 %
    amount_nano: int = 10_000_000_000  # 10.00


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvMapping:
    """How a vendor's plain CSV is written: which column is what, how numbers and instants look.

    ``columns`` maps our names (start, amount …) to the file's; ``kinds`` and ``meters`` its words to ours.
    """

    columns: Mapping[str, str]
    currency: str = ""  # where no column holds it
    time_format: str = ""  # strptime's; "" for ISO 8601
    timezone: str = "UTC"
    window: Literal["hour", "day", "month"] = "day"
    delimiter: str = ","
    encoding: str = "utf-8"
    skip_rows: int = 0
    decimal: str = "."
    thousands: str = ""
    in_cents: bool = False
    quantity_in: int = 1  # single units that one of the file's is
    meter: str = ""  # where no column holds it
    meters: Mapping[str, str] = field(default_factory=dict[str, str])
    kinds: Mapping[str, Kind | Literal["skip"]] = field(default_factory=dict[str, "Kind | Literal['skip']"])
    only: Mapping[str, str] = field(default_factory=dict[str, str])


def meter_of(name: str) -> str:
    """Return the meter that a charge line's meter is compared as: reasoning is billed as output."""
    return _SAME_METER.get(name, name)


# Longest words first: "cached input" is no input. Each is looked for between non-letters.
_METER_WORDS: tuple[tuple[str, str], ...] = (
    (
        r"cache[ _-]?(write|creation|creat\w*)s?.*(1[ _-]?h|one[ _-]hour)|1[ _-]?h\w*[ _-]cache",
        "cache_write_1h",
    ),
    (r"(1[ _-]?h|ephemeral_1h).*cache[ _-]?(write|creation)", "cache_write_1h"),
    (r"cache[ _-]?(write|creation|creat\w*)|cach\w*[ _-]?(write|wr)|ephemeral_5m", "cache_write_5m"),
    (r"cache[ _-]?(read|hit)|cached|cachd|cache", "cache_read"),
    (r"audio.*(out|output|outp)|(out|output|outp).*audio", "output_audio"),
    (r"audio.*(in|input|inp)|(in|input|inp).*audio", "input_audio"),
    (r"image.*(in|input|inp)|(in|input|inp).*image", "input_image"),
    (r"output|outp|opt|completion|response|generat\w+", "output"),
    (r"input|inp|prompt|uncached", "input"),
    (r"requests?", "request"),
)
_METER_PATTERNS = tuple(
    (re.compile(rf"(?<![a-z])(?:{words})(?![a-z])"), meter) for words, meter in _METER_WORDS
)
_WHOLE_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|_")


def meter_in(text: str) -> str:
    """Return the meter that a vendor's description names, ``""`` if it names none."""
    words = _WHOLE_WORDS.sub(" ", text).lower()
    return next((meter for pattern, meter in _METER_PATTERNS if pattern.search(words)), "")


# ------------------------------------------------------------------ names of models

_PREFIX = re.compile(
    r"^(?:(?:us|eu|apac|ca|jp|au|global|us-gov)[.])?(?:anthropic|meta|amazon|mistral|cohere|ai21|deepseek|openai"
    r"|qwen|google|writer|stability)[.]"
)
_SUFFIX = re.compile(
    # A version counts as part of the name ("titan-embed-v2") unless it follows a date.
    r"(?:(?<=-20\d{6})-v\d+(?::\d+)?|:\d+|@\d{8}|@default|-latest|-\d{4}-\d{2}-\d{2}|-20\d{6}|-\d{2}-\d{2})$"
)


def canonical(name: str) -> str:
    """Return the name of a model without maker, snapshot date and spelling: ``claude-sonnet-4-5``."""
    text = name.strip().lower().rpartition("/")[2]
    text = _PREFIX.sub("", text)
    while (shorter := _SUFFIX.sub("", text)) not in {text, ""}:
        text = shorter
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


_DESCRIBING = frozenset({
    "input", "inp", "prompt", "uncached", "output", "outp", "opt", "completion", "response", "cached",
    "cachd", "cache", "read", "write", "hit", "creation", "text", "audio", "token", "tokens", "usage",
    "units", "unit", "count", "1k", "1m", "per", "million", "thousand", "batch", "standard", "provisioned",
    "regnl", "regional", "glbl", "global", "gl", "datazone", "dz", "dzone", "data", "zone", "azure",
    "openai", "foundry", "models", "model", "google", "vertex", "ai", "amazon", "aws", "bedrock",
    "edition", "serverless", "online", "inference", "predictions", "prediction", "service", "api",
})  # fmt: skip
"""Words of a description that are no part of a model's name."""


class ModelNames:
    """Which of our models a vendor's name means.

    ``ours`` are names that mean the same model of ours, key first: the connection's model id,
    the dated snapshots that replies reported. ``declared`` (vendor's name → one of ours) wins.
    """

    def __init__(self, ours: Iterable[tuple[str, ...]], declared: Mapping[str, str] | None = None) -> None:
        """Keep the names in the order given; the first that claims a name has it."""
        self._keys: dict[str, str] = {}
        for names in ours:
            key = next((self._keys[c] for n in names if (c := canonical(n)) in self._keys), names[0])
            for name in names:
                self._keys.setdefault(canonical(name), key)
        self._declared = {
            name.strip().lower(): self._keys.get(canonical(model), model)
            for name, model in (declared or {}).items()
        }

    def key(self, name: str) -> str | None:
        """Return our model for a vendor's name of it, None if no name of ours stands in it."""
        declared = self._declared.get(name.strip().lower())
        if declared is not None:
            return declared
        plain = canonical(name)
        if plain in self._keys:
            return self._keys[plain]
        # A description: "gpt 4.1 mini Inp regnl Tokens". What is left without such words must be a whole
        # name: "gpt-4.1" is not in "gpt-4.1-nano". In doubt a line is shown as unmatched, to be declared.
        words = [word for word in plain.split("-") if word not in _DESCRIBING]
        return self._keys.get(canonical("-".join(words)))
