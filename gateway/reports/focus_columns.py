"""The columns of a FOCUS file by version, their types, and the words that may stand in them.

FOCUS is the FinOps Foundation's open specification of cost and usage data. 1.2 is what most
tools read. 1.4 drops the names of provider and publisher, splits provider into service and
host, and has columns of its own for shares of a charge. Our own columns begin with ``x_``
and come last, as the specification asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

Value = str | Decimal | datetime | None
Row = Mapping[str, Value]
"""One FOCUS row: column → value. JSON columns hold their text."""

Type = Literal["text", "decimal", "instant", "json"]
Version = Literal["1.2", "1.4"]
VERSIONS: Final[tuple[Version, ...]] = ("1.2", "1.4")

_STANDARD: Final[Mapping[str, Type]] = {
    "BilledCost": "decimal",
    "BillingAccountId": "text",
    "BillingAccountName": "text",
    "BillingCurrency": "text",
    "BillingPeriodEnd": "instant",
    "BillingPeriodStart": "instant",
    "ChargeCategory": "text",
    "ChargeClass": "text",
    "ChargeDescription": "text",
    "ChargeFrequency": "text",
    "ChargePeriodEnd": "instant",
    "ChargePeriodStart": "instant",
    # Always empty: reserved capacity is told as shares. Without it the validator fails ConsumedQuantity.
    "CommitmentDiscountStatus": "text",
    "ConsumedQuantity": "decimal",
    "ConsumedUnit": "text",
    "ContractedCost": "decimal",
    "ContractedUnitPrice": "decimal",
    "EffectiveCost": "decimal",
    "InvoiceId": "text",
    "InvoiceIssuerName": "text",
    "ListCost": "decimal",
    "ListUnitPrice": "decimal",
    "PricingCategory": "text",
    # The vendor prices in the currency that it bills in: these repeat their twins, and tools ask for them.
    "PricingCurrency": "text",
    "PricingCurrencyContractedUnitPrice": "decimal",
    "PricingCurrencyEffectiveCost": "decimal",
    "PricingCurrencyListUnitPrice": "decimal",
    "PricingQuantity": "decimal",
    "PricingUnit": "text",
    "RegionId": "text",
    "RegionName": "text",
    "ResourceId": "text",
    "ResourceName": "text",
    "ResourceType": "text",
    "ServiceCategory": "text",
    "ServiceName": "text",
    "ServiceSubcategory": "text",
    "SkuId": "text",
    "SkuMeter": "text",
    "SkuPriceDetails": "json",
    "SkuPriceId": "text",
    "SubAccountId": "text",
    "SubAccountName": "text",
    "SubAccountType": "text",
    "Tags": "json",
}

_OF_VERSION: Final[Mapping[Version, Mapping[str, Type]]] = {
    "1.2": {"ProviderName": "text", "PublisherName": "text"},
    "1.4": {
        "AllocatedMethodDetails": "json",
        "AllocatedMethodId": "text",
        "AllocatedResourceId": "text",
        "AllocatedResourceName": "text",
        "AllocatedTags": "json",
        "HostProviderName": "text",
        "ServiceProviderName": "text",
    },
}

OURS: Final[Mapping[str, Type]] = {
    "x_SpendCost": "decimal",  # BilledCost in the organisation's currency, as its reports sum it
    "x_SpendCurrency": "text",
    "x_Team": "text",
    "x_App": "text",
    "x_CostCentre": "text",
    "x_Alias": "text",
    "x_Model": "text",
    "x_ServiceTier": "text",
    "x_Estimated": "text",  # true | false
    "x_EntryKind": "text",  # usage, gpu, reserved, adjust, correction
    "x_EntryId": "text",
    "x_OriginId": "text",  # the charge that a row is a share of
    "x_AllocatedMethodId": "text",
    "x_AllocatedRatio": "decimal",
}
"""Our own columns, in every version."""


def columns(version: Version) -> dict[str, Type]:
    """Return the columns of a version: the standard ones by name, then ours."""
    standard = {**_STANDARD, **_OF_VERSION[version]}
    return {name: standard[name] for name in sorted(standard)} | dict(OURS)


# ------------------------------------------------------------------------------- words

NEVER_NULL: Final = frozenset({
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "HostProviderName", "InvoiceIssuerName",
    "ListCost", "PricingCurrency", "PricingCurrencyEffectiveCost",
    "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceProviderName",
    "ServiceSubcategory", "x_EntryKind", "x_Estimated",
})  # fmt: skip

ALWAYS_NULL: Final = frozenset({"CommitmentDiscountStatus", "InvoiceId"})
"""What a gateway cannot know: invoices are the vendors', commitments are told as shares."""

ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "ChargeCategory": frozenset({"Usage", "Adjustment"}),
    "ChargeClass": frozenset({"Correction"}),
    "ChargeFrequency": frozenset({"Usage-Based", "Recurring", "One-Time"}),
    "PricingCategory": frozenset({"Standard", "Other"}),
    "ServiceCategory": frozenset({"AI and Machine Learning"}),
    "ServiceSubcategory": frozenset({"Generative AI"}),
    "SubAccountType": frozenset({"App"}),
    "x_EntryKind": frozenset({"usage", "gpu", "reserved", "adjust", "correction"}),
    "x_Estimated": frozenset({"true", "false"}),
}
"""Value lists: of the specification, narrowed to what a gateway can mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What one of our meters is in FOCUS: the SKU's meter, its unit, which way and how tokens went."""

    sku: str
    unit: str
    direction: str = ""  # Input | Output
    cache: str = ""  # Uncached | Read | Write


def _tokens(sku: str, direction: str, cache: str = "") -> Metered:
    return Metered(sku=sku, unit="Tokens", direction=direction, cache=cache)


METERS: Final[Mapping[str, Metered]] = {
    "input": _tokens("Input Tokens", "Input", "Uncached"),
    "cache_read": _tokens("Cache Read Input Tokens", "Input", "Read"),
    "cache_write": _tokens("Cache Write Input Tokens", "Input", "Write"),
    "cache_write_5m": _tokens("Cache Write Input Tokens (5 minutes)", "Input", "Write"),
    "cache_write_1h": _tokens("Cache Write Input Tokens (1 hour)", "Input", "Write"),
    "output": _tokens("Output Tokens", "Output"),
    "reasoning": _tokens("Reasoning Output Tokens", "Output"),
    "input_audio": _tokens("Audio Input Tokens", "Input", "Uncached"),
    "input_image": _tokens("Image Input Tokens", "Input", "Uncached"),
    "input_video": _tokens("Video Input Tokens", "Input", "Uncached"),
    "cache_read_audio": _tokens("Cache Read Audio Input Tokens", "Input", "Read"),
    "cache_read_image": _tokens("Cache Read Image Input Tokens", "Input", "Read"),
    "output_audio": _tokens("Audio Output Tokens", "Output"),
    "output_image": _tokens("Image Output Tokens", "Output"),
    "request": Metered(sku="Requests", unit="Requests"),
    "web_search": Metered(sku="Web Searches", unit="Searches"),
    "file_search": Metered(sku="File Searches", unit="Searches"),
    "code_session": Metered(sku="Code Sessions", unit="Sessions"),
    "source": Metered(sku="Grounding Sources", unit="Sources"),
    "audio_second": Metered(sku="Audio Seconds", unit="Seconds"),
    "video_second": Metered(sku="Video Seconds", unit="Seconds"),
    "second": Metered(sku="Seconds", unit="Seconds"),
    "image": Metered(sku="Images", unit="Images"),
    "page": Metered(sku="Pages", unit="Pages"),
    "character": Metered(sku="Characters", unit="Characters"),
    "search_unit": Metered(sku="Search Units", unit="Units"),
}
"""Each meter of a price → its SKU."""

TWINS: Final[Mapping[str, str]] = {
    "PricingCurrency": "BillingCurrency",
    "PricingCurrencyContractedUnitPrice": "ContractedUnitPrice",
    "PricingCurrencyEffectiveCost": "EffectiveCost",
    "PricingCurrencyListUnitPrice": "ListUnitPrice",
}
"""Columns of the pricing currency, and the ones in the billing currency that they repeat."""

UNITS: Final = frozenset({*(meter.unit for meter in METERS.values()), "GPU-Hours", "Hours"})
"""Units that may stand alone or after a quantity: ``1000000 Tokens``."""
