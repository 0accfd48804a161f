"""What may stand in ``prices/*.yaml``: dated prices with their conditions, reserved capacity, exchange rates.

Amounts are decimal *strings*; token meters are per ``per`` tokens, every other meter per single unit.
"""

# ruff: noqa: RUF012, SIM905 (pydantic copies defaults, which ruff cannot see; codes read best as words)

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from gateway.core.tariff import ALWAYS
from gateway.policy.schema_words import Currency, Day, Instant, Name, Names, Strict, Text, wrong
from gateway.policy.source import Unquoted

Meter = Literal[
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
    "input_video",
    "cache_read_audio",
    "cache_read_image",
    "request",
    "web_search",
    "file_search",
    "code_session",
    "source",
    "audio_second",
    "video_second",
    "second",
    "image",
    "page",
    "character",
    "search_unit",
]

TokenMeter = Literal[
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
    "input_video",
    "cache_read_audio",
    "cache_read_image",
]

METERS: tuple[str, ...] = get_args(Meter)
"""Every meter, in the order in which sheets are written."""

TOKEN_NAMES: frozenset[str] = frozenset(get_args(TokenMeter))
"""Meters of tokens, as they may be written."""

CURRENCIES = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD "
    "HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD "
    "LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK "
    "PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS "
    "TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW "
    "ZWG".split()
)
"""ISO 4217 codes of money that is in use. Metals, funds and test codes are no prices."""


def _currency(value: str) -> str:
    if value not in CURRENCIES:
        raise wrong(f"`{value}` is no currency of ISO 4217", "write for example USD, CAD or EUR")
    return value


def _price(value: object) -> object:
    """Read an amount of money or a factor: digits in quotes, nothing that could be misread."""
    if isinstance(value, Unquoted | int | float) and not isinstance(value, bool):
        raise wrong("an amount is written in quotes", f'write "{value}"')
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text):
        return value
    shown = str(value)[:40]
    if re.fullmatch(r"-\s*[\d.]+", text):
        raise wrong(f"`{shown}` is negative", "a price is zero or more; write a discount as discounts")
    if re.fullmatch(r"[-+]?\.?(nan|inf|infinity)", text, re.IGNORECASE):
        raise wrong(f"`{shown}` is no number", 'write digits in quotes, for example "0.44"')
    if re.fullmatch(r"\d+(\.\d+)?", text):
        raise wrong(
            f"`{shown}` has more than 12 digits before or after the point", "check the amount and its `per`"
        )
    if re.fullmatch(r"[\d.]+[eE][-+]?\d+", text):
        raise wrong(f"`{shown}` is no amount, with its exponent", f'write "{_plain(text)}"')
    raise wrong(f"`{shown}` is no amount", 'write digits in quotes, for example "2500.00"')


def _plain(text: str) -> str:
    """Return a number with an exponent as digits; very long ones stay as they are."""
    exponent = int(re.split("[eE]", text)[1])
    return format(Decimal(text), "f") if abs(exponent) <= 24 else "0.44"


def _factor(value: str) -> str:
    if Decimal(value) > 100:
        raise wrong(f"`{value}` times is no multiplier", 'write "1.1" for ten percent more')
    return value


_MOST = 10**9  # of a major unit: below what an int64 of nano-units holds

Unit = Annotated[str, BeforeValidator(_price, json_schema_input_type=str)]
Factor = Annotated[str, BeforeValidator(_price, json_schema_input_type=str), AfterValidator(_factor)]
Iso = Annotated[Currency, AfterValidator(_currency)]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}$")]
Count = Annotated[int, Field(ge=1, le=10**12)]


class Validity(Strict):
    """From an instant, until another one (not included) or for good."""

    from_: Instant = Field(alias="from")
    to: Instant | None = None


class TermsModel(Strict):
    """What a service tier changes: every token meter ``times`` a factor, or a token sheet of its own."""

    times: Factor | None = None
    meters: dict[Meter, Unit] = {}

    @model_validator(mode="after")
    def _one(self) -> TermsModel:
        if (self.times is None) == (not self.meters):
            raise wrong("this has `times` or `meters`, one of them", 'write {times: "0.5"}')
        return self


class BandModel(TermsModel):
    """Prompts of more than ``above`` tokens: the whole request, its answer too, has these prices."""

    above: Annotated[int, Field(ge=1, le=10**9)]
    tiers: dict[Word, TermsModel] = {}


class Dated(Strict):
    """A multiplier, for as long as the price is valid or for a part of it."""

    times: Factor
    valid: Validity | None = None
    source: Text


class UpliftModel(Dated):
    """A dated multiplier on token meters where the vendor ran ``where``; ``always`` for every call."""

    where: Word = ALWAYS


class DiscountModel(Dated):
    """A dated multiplier of a contract: ``"0.85"`` is 15 % off, on the meters named or on all."""

    on: list[Meter] = []


class ReservedModel(Strict):
    """Capacity that is paid by time: its calls are free, and its amount is split over who used it."""

    amount: Unit
    per: Literal["hour", "month"]
    units: Count = 1
    unit: Text | None = None
    split: Literal["tokens", "requests"] = "tokens"
    weights: dict[TokenMeter, Unit] = {}
    capacity_per_hour: Unit | None = None
    window: Literal["hour", "day", "month"] = "day"

    @model_validator(mode="after")
    def _sense(self) -> ReservedModel:
        if self.weights and self.split != "tokens":
            raise wrong("weights are for a split by tokens", "write split: tokens, or remove weights")
        if self.weights and not any(Decimal(weight) for weight in self.weights.values()):
            raise wrong("no weight is above zero", 'write for example weights: {input: "1", output: "4"}')
        if Decimal(self.amount) * self.units >= _MOST:
            raise wrong("the amount is more than any contract", "check amount and units")
        if self.capacity_per_hour is not None and not Decimal(self.capacity_per_hour):
            raise wrong("a capacity of nothing serves nobody", "leave it away if it is unknown")
        return self


class PriceModel(Strict):
    """A dated price of one deployment."""

    id: Name
    deployment: Name
    currency: Iso
    per: Annotated[int, Field(ge=1, le=10**9)] = 1_000_000
    unit: Literal["tokens"] = "tokens"
    meters: dict[Meter, Unit] = {}
    tiers: dict[Word, TermsModel] = {}
    bands: list[BandModel] = []
    uplifts: list[UpliftModel] = []
    discounts: list[DiscountModel] = []
    reserved: ReservedModel | None = None
    at_most: dict[Meter, Count] = {}
    valid: Validity
    recorded: Instant | None = None
    corrects: Name | None = None
    retires: Day | None = None
    free: bool = False
    source: Text
    approved_by: Names = []


def _rate(value: str) -> str:
    if not Decimal(value):
        raise wrong("a rate of zero converts nothing", 'write for example "1.3925"')
    return value


class RateModel(Strict):
    """An exchange rate fixed from a day on: one ``base`` is ``rate`` ``quote``."""

    base: Iso
    quote: Iso
    rate: Annotated[Unit, AfterValidator(_rate)]
    from_: Instant = Field(alias="from")
    source: Text


class RatesFile(Strict):
    """``prices/fx.yaml``."""

    rates: list[RateModel] = []
