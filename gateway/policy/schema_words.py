"""The small words of a bundle's files: names, days, codes, kinds; and the base of every model.

Unknown keys are errors that name the nearest right one. Amounts are decimal *strings*.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.core.places import known_codes, valid
from gateway.policy.problems import did_you_mean
from gateway.policy.source import Unquoted

KINDS = (
    "person",
    "location",
    "organisation",
    "date_of_birth",
    "address",
    "email",
    "phone",
    "ip",
    "mac",
    "url_credential",
    "card",
    "iban",
    "sin",
    "health_number",
    "passport",
    "driver_licence",
    "business_number",
    "bank_account",
    "postal_code",
    "us_ssn",
    "national_id",
    "resident_card",
    "crypto",
    "coordinates",
    "secret",
    "prompt_injection",
    "tool_abuse",
)
"""The kinds of findings that detectors can make."""

NOT_PERSONAL = frozenset({"prompt_injection", "tool_abuse"})
"""Kinds that a duty means only when it names them: ``do: [mask]`` is about personal data."""

KIND_ALIASES = {"name": "person", "health": "health_number", "organization": "organisation"}

USES = ("chat", "embeddings", "files", "batch", "fine_tune")

Use = Literal["chat", "embeddings", "files", "batch", "fine_tune"]
Feature = Literal[
    "web_search",
    "mcp",
    "url_fetch",
    "file_id",
    "store",
    "background",
    "data_sources",
    "code_interpreter",
    "other_geography",
    "unscannable",
]

FEATURES: tuple[str, ...] = get_args(Feature)
"""Features of a request that make a vendor fetch, store or forward."""

Rung = Literal["declared", "page", "contract", "probe", "response"]

RUNGS: tuple[str, ...] = get_args(Rung)
"""How well a fact is known, from hearsay to a check of every reply."""


# ---------------------------------------------------------------- small types


def as_list(value: object) -> object:
    """Read one word as a list of it."""
    return [value] if isinstance(value, str) else value


def _kind(value: object) -> object:
    if not isinstance(value, str):
        return value
    kind = KIND_ALIASES.get(value, value)
    if kind not in KINDS:
        raise wrong(f"unknown kind of finding `{value[:40]}`", did_you_mean(value, [*KINDS, *KIND_ALIASES]))
    return kind


def wrong(message: str, suggestion: str | None = None) -> PydanticCustomError:
    """Return the error that says what is wrong, and the nearest right word."""
    return PydanticCustomError("policy", "{message}", {"message": message, "suggestion": suggestion})


def _code(value: str) -> str:
    if value != "unknown" and not valid(value):
        raise wrong(f"unknown place code `{value[:40]}`", did_you_mean(value, known_codes()))
    return value


def day_of(value: object) -> object:
    """Read a day; what is no text with a day in it is an error."""
    if isinstance(value, date):
        return value  # read before
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise wrong(f"`{str(value)[:40]}` is no date", "write it as 2026-11-30")


def _instant(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?", value):
        try:
            moment = datetime.fromisoformat(value)
            return int(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000_000
        except ValueError:
            pass
    raise wrong(f"`{str(value)[:40]}` is no instant", "write it in UTC, as 2026-11-01T00:00:00Z")


def _amount(value: object) -> object:
    if isinstance(value, Unquoted | int | float):
        raise wrong("an amount is written in quotes", f'write "{value}"')
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value):
        return value
    raise wrong(f"`{str(value)[:40]}` is no amount", 'write digits in quotes, for example "2500.00"')


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/@-]*$", max_length=120)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Day = Annotated[date, BeforeValidator(day_of, json_schema_input_type=str)]
Instant = Annotated[int, BeforeValidator(_instant, json_schema_input_type=str)]
Amount = Annotated[str, BeforeValidator(_amount, json_schema_input_type=str)]
Names = Annotated[list[Name], BeforeValidator(as_list, json_schema_input_type=str | list[str])]
Uses = Annotated[list[Use], BeforeValidator(as_list, json_schema_input_type=Use | list[Use])]
Kind = Annotated[str, BeforeValidator(_kind, json_schema_input_type=str)]
Kinds = Annotated[list[Kind], BeforeValidator(as_list, json_schema_input_type=str | list[str])]
Code = Annotated[str, AfterValidator(_code)]
Codes = Annotated[list[Code], BeforeValidator(as_list, json_schema_input_type=str | list[str])]
Source = Annotated[
    str, StringConstraints(pattern=r"^(app|header|detector:[a-z_]+|[A-Za-z0-9_.-]+=[A-Za-z0-9_.-]+)$")
]
Sources = Annotated[list[Source], BeforeValidator(as_list, json_schema_input_type=str | list[str])]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Strict(BaseModel):
    """The base of everything that a person writes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: object) -> object:
        if isinstance(value, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in value:
                if key not in known:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key `{key}`",
                        {"key": str(key), "suggestion": did_you_mean(str(key), known)},
                    )
        return value
