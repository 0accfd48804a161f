"""What may stand in each file of a bundle: strict models, from which the JSON Schemas are made.

A model only says what one file may hold; what must agree between files is in ``check.py``.
Unknown keys are errors that name the nearest right one. Amounts are decimal *strings*.
"""

# ruff: noqa: RUF012 (pydantic copies defaults; across files ruff cannot see that these are models)

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

import orjson
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from gateway.policy.schema_alerts import AlertsFile
from gateway.policy.schema_books import BooksModel
from gateway.policy.schema_budgets import BudgetList, RatesModel
from gateway.policy.schema_degrade import Rungs, WhenOver
from gateway.policy.schema_facts import (
    DeploymentModel,
    DeploymentsFile,
    Fact,
    FactsFile,
    PaperModel,
    VendorModel,
    VendorsFile,
)
from gateway.policy.schema_pools import PoolModel, PoolsFile
from gateway.policy.schema_prices import PriceModel, RateModel, RatesFile
from gateway.policy.schema_words import (
    FEATURES,
    KIND_ALIASES,
    KINDS,
    NOT_PERSONAL,
    RUNGS,
    USES,
    Code,
    Codes,
    Currency,
    Day,
    Feature,
    Kinds,
    Name,
    Names,
    Rung,
    Sources,
    Strict,
    Text,
    Use,
    Uses,
    as_list,
    wrong,
)

__all__ = [
    "FEATURES",
    "KINDS",
    "KIND_ALIASES",
    "NOT_PERSONAL",
    "RUNGS",
    "USES",
    "AlertsFile",
    "DeploymentModel",
    "DeploymentsFile",
    "Fact",
    "FactsFile",
    "PaperModel",
    "PoolModel",
    "PoolsFile",
    "PriceModel",
    "RateModel",
    "RatesFile",
    "Strict",
    "VendorModel",
    "VendorsFile",
]

# ---------------------------------------------------------------- policy.yaml


class DataKind(Strict):
    """A kind of data: what it also is, who may say so, and what unlabelled data is treated as."""

    is_also: Names = []
    found_by: Sources = ["app"]
    treat_as: Name | None = None
    says: Text | None = None


class For(Strict):
    """Whom and what a rule or an exception is for. What is left out is any."""

    data: Names | None = None
    app: Names | None = None
    team: Names | None = None
    tenant: Names | None = None
    group: Names | None = None
    purpose: Names | None = None
    use: Uses | None = None
    caller_in: Names | None = None


class Bound(Strict):
    """A number's bound, included."""

    at_most: Annotated[int, Field(ge=0)] | None = None
    at_least: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Bound:
        if self.at_most is None and self.at_least is None:
            raise wrong("a bound is missing", "write {at_most: 30} or {at_least: 30}")
        return self


ProvenFact = Literal[
    "processed_in",
    "stored_in",
    "vendor_logs_in",
    "staff_access_from",
    "tls_ends_in",
    "parent_home",
    "trains_on_data",
    "human_review",
    "transfer_basis",
    "keeps_content_days",
    "baa_covers",
]

PROVEN_FACTS: tuple[str, ...] = get_args(ProvenFact)
"""Facts that may carry a source, a day and a rung of their own."""


def _rungs(value: object) -> object:
    return {"all": value} if isinstance(value, str) else value


class Must(Strict):
    """Tests over facts; all hold. ``or_has`` documents stand in for place tests that fail.

    ``rung`` asks how well a fact is known: of every fact that is tested here, or of single ones.
    """

    processed_in: Names | None = None
    stored_in: Names | None = None
    vendor_logs_in: Names | None = None
    staff_access_from: Names | None = None
    tls_ends_in: Names | None = None
    parent_home: Names | None = None
    vendor: Names | None = None
    operator: Names | None = None
    trains_on_data: Names | None = None
    human_review: Names | None = None
    transfer_basis: Names | None = None
    keeps_content_days: Bound | None = None
    has: Names | None = None
    or_has: Names | None = None
    baa_covers: Literal["this_use"] | None = None
    own: dict[Name, Names | Bound] = {}
    caller_in: Names | None = None
    rung: (
        Annotated[
            dict[ProvenFact | Literal["all"], Rung],
            BeforeValidator(_rungs, json_schema_input_type=Rung | dict[str, Rung]),
        ]
        | None
    ) = None


class DoMap(Strict):
    """One duty with its detail."""

    mask: Kinds | None = None
    tokenise: Kinds | None = None
    format: Literal["typed", "preserving"] | None = None  # how the tokens of ``tokenise`` are written
    block: Kinds | None = None
    hash: Kinds | None = None
    report: Kinds | None = None
    answer_tokens: Bound | None = None
    log_in: Names | None = None
    keep_log_days: Bound | None = None
    cache_scope: Literal["none", "call", "conversation", "user", "app", "team", "tenant"] | None = None
    forbid_tools: Names | None = None
    ask: Name | None = None
    mark: Name | None = None
    disclose_ai: bool | None = None
    no_store: bool | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> DoMap:
        if not self.model_fields_set:
            raise wrong("a duty is missing", "write for example {mask: [name]}")
        if self.format is not None and self.tokenise is None:
            raise wrong("`format` is for `tokenise`", "write {tokenise: [email], format: preserving}")
        return self


DoWord = Literal["mask", "tokenise", "block", "hash", "report", "no_store", "disclose_ai"]


def _do_tag(value: object) -> str:
    return "word" if isinstance(value, str) else "map"


Do = Annotated[Annotated[DoWord, Tag("word")] | Annotated[DoMap, Tag("map")], Discriminator(_do_tag)]


class RuleModel(Strict):
    """One rule: ``says`` for people, ``for`` / ``must`` / ``do`` for the machine."""

    id: Name
    says: Text
    for_: For = Field(default=For(), alias="for")
    must: Must | None = None
    do: list[Do] = []
    allow: bool = False
    strength: Literal["hard", "exception", "warn"] = "hard"
    shadow: bool = False
    only_if: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    why: list[Text] = []
    source: Text | None = None
    owner: Name | None = None
    review_by: Day | None = None


class ExceptionModel(Strict):
    """An exception to one rule, which is not hard, for at most 90 days."""

    rule: Name
    for_: For = Field(alias="for")
    lets: Must
    owner: Name
    approved_by: Names
    until: Day
    why: Text | None = None


class CaseModel(Strict):
    """A test: who calls with which data, what is tried, and what must come out."""

    say: Text
    app: Name
    data: Names = []
    try_: Name = Field(alias="try")
    expect: Literal["allowed", "refused"]
    by: Names | None = None
    by_exception: Names | None = None
    with_: Annotated[list[Text], BeforeValidator(as_list, json_schema_input_type=str | list[str])] | None = (
        Field(default=None, alias="with")
    )
    use: Use = "chat"
    features: Annotated[
        list[Feature], BeforeValidator(as_list, json_schema_input_type=Feature | list[Feature])
    ] = []
    from_place: Code | None = None
    purpose: Name | None = None
    claims: dict[Name, Text] = {}
    at: Day | None = None


class PolicyFile(Strict):
    """``policy.yaml``: places, kinds of data, rules, exceptions, proofs and tests."""

    policy: Name
    version: Annotated[int, Field(ge=1)] = 1
    owner: Name = "policy-owner"
    changes_need: Names = []
    anything_not_allowed_below: Literal["refused"] = "refused"
    places: dict[Name, Codes] = {}
    data: dict[Name, DataKind] = {}
    rules: list[RuleModel] = []
    exceptions: list[ExceptionModel] = []
    when_down: dict[Literal["detectors", "budgets", "journal"], Literal["refuse", "unlabelled", "go_on"]] = {}
    prove: list[Text] = []
    tests: list[CaseModel] = []


class PackRule(RuleModel):
    """A rule of a pack: it says on what it rests, where that was read, and when to look again."""

    why: Annotated[list[Text], Field(min_length=1)]
    # Models are frozen, so that what may be missing elsewhere can be asked for here.
    source: Text  # type: ignore[mutable-override]
    review_by: Day  # type: ignore[mutable-override]


class PackFile(Strict):
    """``packs/*.yaml``: rules for one law or regulator. They can only narrow."""

    pack: Name
    says: Text
    source: Text
    seen: Day
    owner: Name
    places: dict[Name, Codes] = {}
    data: dict[Name, DataKind] = {}
    rules: Annotated[list[PackRule], Field(min_length=1)]
    prove: list[Text] = []
    tests: Annotated[list[CaseModel], Field(min_length=1)]


class Within(Strict):
    """What a layer is for: teams, or apps."""

    team: Names | None = None
    app: Names | None = None

    @model_validator(mode="after")
    def _one(self) -> Within:
        if self.team is None and self.app is None:
            raise wrong("a layer is for a team or an app", "write for: {team: branch}")
        return self


class UnitFile(Strict):
    """``units/*.yaml``: what a unit or an app asks beyond ``policy.yaml``. It can only narrow."""

    unit: Name
    owner: Name | None = None
    says: Text | None = None
    for_: Within = Field(alias="for")
    rules: list[RuleModel] = []
    tests: list[CaseModel] = []


# ----------------------------------------------------------- connections.yaml

Api = Literal["openai", "azure_openai", "anthropic", "bedrock", "gemini"]
SurfaceName = Literal["chat", "embeddings", "responses", "messages", "count_tokens"]
Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]


def _url(value: str) -> str:
    match = re.fullmatch(
        r"(https?)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?", value
    )
    if match is None:
        raise wrong("this is no URL of an API", "write for example https://api.example.com/v1, no key in it")
    if match[1] == "http" and match[2] not in {"127.0.0.1", "localhost", "[::1]"}:
        raise wrong("plain http leaves this machine unprotected", "write https")
    return value.rstrip("/")


class ConnectionModel(Strict):
    """How one deployment is reached. The secret is a reference: ``file:/path`` or ``env:NAME``."""

    api: Api
    url: Annotated[str, AfterValidator(_url)] | None = None
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    secret: Annotated[str, StringConstraints(pattern=r"^(file:/.+|env:[A-Za-z_][A-Za-z0-9_]*)$")] | None = (
        None
    )
    surfaces: list[SurfaceName] | None = None
    aws_region: Name | None = None
    api_version: Name | None = None
    organization: Name | None = None
    project: Name | None = None
    inference_geo: Name | None = None
    credentials_url: Annotated[str, AfterValidator(_url)] | None = None
    tokenizer: Literal["o200k_base", "cl100k_base", "bytes"] | None = None
    ca_bundle: Text | None = None
    connect_timeout_ms: Milliseconds = 5_000
    first_byte_timeout_ms: Milliseconds = 60_000
    idle_timeout_ms: Milliseconds = 60_000


class ConnectionsFile(Strict):
    """``connections.yaml``: kept by the platform, signed by security."""

    connections: dict[Name, ConnectionModel] = {}


# ---------------------------------------------------------------- routes.yaml


class RouteModel(Strict):
    """An alias, the names that apps already send for it, and the deployments tried in order."""

    try_: Annotated[list[Name], Field(min_length=1)] = Field(alias="try")
    also_called: Names = []
    use: Uses | None = None
    when_over: Rungs = []
    timeout_ms: Milliseconds = 120_000
    tries_at_most: Annotated[int, Field(ge=1, le=20)] | None = None


class RoutesFile(Strict):
    """``routes.yaml``: kept by the platform."""

    routes: dict[Name, RouteModel] = {}


# ----------------------------------------------------------------- teams.yaml


class CostCentre(Strict):
    """A cost centre from a day on."""

    code: Text
    from_: Day = Field(alias="from")


class AppModel(Strict):
    """A registered app: its data, the aliases that it may name, its groups and limits."""

    data: Names = []
    models: Names
    groups: Names = []
    purpose: Name | None = None
    when_over: WhenOver | None = None
    cost_centre: list[CostCentre] = []
    budget: BudgetList = []
    key_budget: BudgetList = []
    user_budget: BudgetList = []
    rate: RatesModel | None = None
    key_rate: RatesModel | None = None
    user_rate: RatesModel | None = None


class TeamModel(Strict):
    """A team: its cost centre, budget and apps."""

    when_over: WhenOver | None = None
    cost_centre: list[CostCentre] = []
    budget: BudgetList = []
    rate: RatesModel | None = None
    apps: dict[Name, AppModel] = {}


class TeamsFile(Strict):
    """``teams.yaml``: kept by finance; the labels of apps are also signed by privacy."""

    org: Name | None = None
    timezone: Text = "UTC"
    currency: Currency = "CAD"
    budget: BudgetList = []
    rate: RatesModel | None = None
    user_budget: BudgetList = []
    model_budget: dict[Name, BudgetList] = {}
    data_budget: dict[Name, BudgetList] = {}
    books: BooksModel = BooksModel()
    teams: dict[Name, TeamModel] = {}


FILES: dict[str, type[Strict]] = {
    "policy": PolicyFile,
    "deployments": DeploymentsFile,
    "connections": ConnectionsFile,
    "routes": RoutesFile,
    "teams": TeamsFile,
    "pools": PoolsFile,
    "alerts": AlertsFile,
    "prices": PriceModel,
    "fx": RatesFile,
    "tests": CaseModel,
    "units": UnitFile,
    "facts": FactsFile,
    "vendors": VendorsFile,
    "packs": PackFile,
}
"""File kind → model. Files of ``prices/`` and ``tests/`` are lists of theirs."""

LISTS = frozenset({"prices", "tests"})


def json_schema(kind: str) -> dict[str, object]:
    """Return the published JSON Schema of a kind of file."""
    schema = FILES[kind].model_json_schema(by_alias=True, mode="validation")
    if kind == "deployments":
        # What an entry of a pack says need not be said again.
        facts = schema["$defs"]["DeploymentModel"]
        facts["anyOf"] = [{"required": ["like"]}, {"required": facts.pop("required")}]
    if kind in LISTS:
        defs = schema.pop("$defs", {})
        schema = {"type": "array", "items": schema, "$defs": defs}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"borderpost {kind}",
        **schema,
    }


def published(kind: str) -> bytes:
    """Return the bytes of a published schema file: indented, keys ordered, a newline at the end."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(json_schema(kind), option=options)
