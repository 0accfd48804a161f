"""What may stand in the files of facts: deployments.yaml, facts/*.yaml and vendors.yaml.

A fact is written plainly, or with where it is from: ``{value, source, seen, good_for_days, rung}``.
"""

# ruff: noqa: RUF012 (pydantic copies defaults; across files ruff cannot see that these are models)

from __future__ import annotations

from datetime import date
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from gateway.policy.schema_billing import BillingModel
from gateway.policy.schema_words import (
    Code,
    Codes,
    Day,
    Digest,
    Feature,
    Name,
    Rung,
    Strict,
    Text,
    Uses,
    as_list,
    day_of,
    wrong,
)

# ----------------------------------------------------------- deployments.yaml

T = TypeVar("T")


class Fact(Strict, Generic[T]):
    """A fact with where it is from: it counts through ``seen`` + ``good_for_days``, UTC."""

    value: T
    source: Text | None = None
    seen: Day | None = None
    good_for_days: Annotated[int, Field(ge=1, le=3660)] | None = None
    rung: Rung | None = None
    quote: Digest | None = None


def _fact_tag(value: object) -> str:
    return "fact" if isinstance(value, dict | Fact) else "plain"


# Written out, since a generic alias would not reach the values inside `Fact`.
_PLAIN, _FACT, _EITHER = Tag("plain"), Tag("fact"), Discriminator(_fact_tag)
_Days = Annotated[int, Field(ge=0)] | Literal["unknown"] | None
_Trains = Literal["never", "opt_in", "opt_out", "always", "unknown"] | None
_Review = Literal["never", "on_abuse_flag", "sampled", "always", "unknown"] | None


def _until(value: object) -> object:
    if value == "on_file":
        return value
    try:
        return day_of(value)
    except PydanticCustomError:
        raise wrong(f"`{str(value)[:40]}` is no date", "write it as 2026-11-30, or on_file") from None


class PlacesFact(Fact[Codes | None]):
    """Places, with where they were read."""


class HomeFact(Fact[Code | None]):
    """A country, with where it was read."""


class DaysFact(Fact[_Days]):
    """A number of days, with where it was read."""


class TrainsFact(Fact[_Trains]):
    """Whether the vendor trains on content, with where it was read."""


class ReviewFact(Fact[_Review]):
    """Whether people read content, with where it was read."""


class WordFact(Fact[Name | None]):
    """A word, with where it was read."""


class UsesFact(Fact[Uses]):
    """Uses, with where they were read."""


Residency = Annotated[Annotated[Codes | None, _PLAIN] | Annotated[PlacesFact, _FACT], _EITHER]
Home = Annotated[Annotated[Code | None, _PLAIN] | Annotated[HomeFact, _FACT], _EITHER]
Days = Annotated[Annotated[_Days, _PLAIN] | Annotated[DaysFact, _FACT], _EITHER]
Trains = Annotated[Annotated[_Trains, _PLAIN] | Annotated[TrainsFact, _FACT], _EITHER]
Review = Annotated[Annotated[_Review, _PLAIN] | Annotated[ReviewFact, _FACT], _EITHER]
Basis = Annotated[Annotated[Name | None, _PLAIN] | Annotated[WordFact, _FACT], _EITHER]
Covered = Annotated[Annotated[Uses, _PLAIN] | Annotated[UsesFact, _FACT], _EITHER]


def _papers(value: object) -> object:
    """Read ``has: [dpa, soc2]`` as documents that the vendor file has."""
    if isinstance(value, str):
        value = [value]
    return dict.fromkeys(value, "on_file") if isinstance(value, list) else value


Papers = Annotated[
    dict[
        Name,
        Annotated[Literal["on_file"] | date, BeforeValidator(_until, json_schema_input_type=str)],
    ],
    BeforeValidator(_papers, json_schema_input_type=dict[str, str] | list[str] | str),
]


class DeploymentModel(Strict):
    """Facts of one deployment. What is left out is unknown, and unknown satisfies no rule.

    ``seen``, ``recheck_days``, ``source`` and ``rung`` are for every fact that has none of its own.
    """

    like: Name | None = None
    vendor: Name
    operator: Name | None = None
    parent_home: Home = None
    sku: dict[Name, Text] = {}
    processed_in: Residency = None
    stored_in: Residency = None
    vendor_logs_in: Residency = None
    staff_access_from: Residency = None
    tls_ends_in: Residency = None
    keeps_content_days: Days = None
    trains_on_data: Trains = None
    human_review: Review = None
    transfer_basis: Basis = None
    baa_covers: Covered = []
    own: dict[Name, Name | bool | int | list[Name]] = {}
    uses: Uses
    has: Papers = {}
    covers: Annotated[
        list[Feature], BeforeValidator(as_list, json_schema_input_type=Feature | list[Feature])
    ] = []
    seen: Day
    recheck_days: Annotated[int, Field(ge=1, le=3660)]
    source: Text = "declared"
    rung: Rung = "declared"
    proof: list[Text] = []
    note: Text | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=10_000_000)] = 4_096
    stops_billing_on_disconnect: bool = False
    abort_lag_tokens: Annotated[int, Field(ge=0)] | None = None
    media_caps: dict[Literal["image", "audio_second", "file"], Annotated[int, Field(ge=0)]] = {}


class DeploymentsFile(Strict):
    """``deployments.yaml``: the facts, kept by vendor risk."""

    deployments: dict[Name, DeploymentModel] = {}


class FactsFile(Strict):
    """``facts/*.yaml``: facts that many share, by the name that ``like`` gives."""

    pack: Name
    says: Text | None = None
    source: Text | None = None
    deployments: dict[Name, DeploymentModel] = {}


# --------------------------------------------------------------- vendors.yaml


class PaperModel(Strict):
    """A contract or an attestation: it counts through ``until``, UTC."""

    until: Day
    evidence: Digest | None = None
    file: Text | None = None
    uses: Uses | None = None
    notice_days: Annotated[int, Field(ge=0, le=366)] = 30
    note: Text | None = None


class VendorModel(Strict):
    """One vendor: who looks after it and which documents are on file."""

    legal_name: Text | None = None
    owner: Name | None = None
    documents: dict[Name, PaperModel] = {}
    billing: BillingModel | None = None


class VendorsFile(Strict):
    """``vendors.yaml``: contracts and attestations, kept by vendor risk."""

    vendors: dict[Name, VendorModel] = {}
