"""The compiled policy bundle: immutable, content-addressed, swapped whole.

:mod:`gateway.policy.compile` makes a :class:`Snapshot` from the files of a
bundle; every decision, price and record names its ``hash``. Nothing in it can
change after it is made. Sets of places are ISO codes (``CA``, ``CA-QC``);
``None`` means *unknown*, and unknown never satisfies a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gateway.core.alert_plan import NO_ALERTS, AlertPlan
from gateway.core.bill import Billing
from gateway.core.gl import Books
from gateway.core.gpu_pools import Pool
from gateway.core.ladder import Ladder
from gateway.core.places import Places
from gateway.core.rules import CompiledRules
from gateway.core.tariff import Price as Price  # noqa: PLC0414 (re-exported: part of a snapshot)
from gateway.core.tariff import Rate as Rate  # noqa: PLC0414 (as above)
from gateway.core.tariff import Step, Tariff, exchange, tariffs
from gateway.core.values import Carry


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where one fact is from, until when it counts, and how well it is known (the rung)."""

    source: str
    seen: str
    recheck_by: str  # last day on which it counts
    ends: int  # instant from which it is unknown
    rung: str  # declared | page | contract | probe | response
    at: str = ""  # file:line


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Residency and handling facts of one deployment. A fact belongs here, not to a vendor."""

    id: str
    index: int  # its bit in the compiled tables
    vendor: str
    operator: str
    parent_home: str | None
    sku: Mapping[str, str]
    processed_in: Places | None
    stored_in: Places | None
    vendor_logs_in: Places | None
    staff_access_from: Places | None
    tls_ends_in: Places | None
    keeps_content_days: int | None
    trains_on_data: str | None
    human_review: str | None
    uses: frozenset[str]
    has: Mapping[str, int]  # document → instant of expiry
    covers: frozenset[str]  # request features the facts cover: web_search, url_fetch, file_id …
    facts: Mapping[str, object]  # every fact as written, for `must` on other keys and for explain
    seen: str
    expires: int  # instant after which the facts are stale and refuse
    max_output_tokens: int
    stops_billing_on_disconnect: bool
    abort_lag_tokens: int | None
    media_caps: Mapping[str, int]  # tokens at most: image, audio_second, file
    at: str  # file:line
    source: str = ""  # where the facts were read
    recheck_by: str = ""  # last day on which the facts count
    lines: Mapping[str, int] = field(default_factory=dict[str, int])  # fact → its line in the file of ``at``
    withdrawn: str = (
        ""  # why it dropped out although its facts are fresh (core/observed.py); "" while it has not
    )
    rung: str = "declared"  # how well facts are known that have no provenance of their own
    provenance: Mapping[str, Provenance] = field(default_factory=dict[str, Provenance])  # by fact
    like: str = ""  # the pack entry that its facts began as; "" where all are its own

    @property
    def place(self) -> str:
        """Where it processes, as callers and telemetry see it: ``CA-QC`` or ``CA-QC,US``."""
        return ",".join(sorted(self.processed_in or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How a deployment is reached. The secret is a reference, never the secret."""

    deployment: str
    api: str  # openai | azure_openai | anthropic | bedrock | gemini
    url: str
    model: str
    secret: str | None  # file:/… or env:NAME; None for none
    options: Mapping[str, str]  # aws_region, api_version, organization …
    surfaces: frozenset[str]  # dialects that it serves: chat, embeddings, responses, messages
    connect_timeout_ms: int = 5_000
    first_byte_timeout_ms: int = 60_000
    idle_timeout_ms: int = 60_000
    ca_bundle: str | None = None
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An alias that apps name as ``model``, and the deployments tried in order."""

    alias: str
    also_called: tuple[str, ...]
    tries: tuple[str, ...]
    timeout_ms: int  # overall, all tries
    tries_at_most: int
    at: str
    uses: frozenset[str] | None = (
        None  # what it is for (chat, embeddings …); None: whatever its tries are for
    )
    when_over: Ladder = ()  # for apps that leave it to the route


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimit:
    """One budget, or one rate: a limit per window at one level. Windows: ``core/windows.py``."""

    id: str  # "org:maple:CAD", "team:branch:tokens:day", "key:<key id>:CAD", "rate:app:teller:requests"
    level: str  # org | team | app | user | key | model | data
    name: str
    unit: str  # a currency code (limit in nano-units), or a unit of core/budget.py
    limit: int
    per: str  # day | week | month | quarter | year | last | once | minute | now (calls at once)
    timezone: str
    at: str
    length: int = 0  # of `last`, ns
    opens: int = 0  # of `once`, instants
    closes: int = 0
    outside: str = "refused"  # what holds before and after `once`: refused | no_limit
    carry: Carry | None = None
    soft: bool = False  # counted and alerted, refuses nothing
    alert_at: tuple[int, ...] = ()  # percent of the limit, ascending
    overdraft: int = 0  # what streams that run already may take beyond the limit, to finish

    @property
    def rate(self) -> bool:
        """Whether it is a rate: requests or tokens of a minute, calls at once."""
        return self.per in {"minute", "now"}


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A registered app: its team, labels, aliases and budgets from the org down."""

    id: str
    team: str
    tenant: str
    data: tuple[str, ...]
    models: tuple[str, ...]
    groups: frozenset[str]  # "registered", and those that teams.yaml names
    purpose: str | None
    cost_centres: tuple[tuple[str, str], ...]  # (from date, code), of the app or its team
    budgets: tuple[BudgetLimit, ...]  # org, team, app, in this fixed order
    key_budgets: tuple[BudgetLimit, ...]  # templates: applied per key of this app
    at: str
    when_over: Ladder | None = ()  # before a refusal for want of budget; None: as the route says
    user_budgets: tuple[BudgetLimit, ...] = ()  # templates: per user of this app
    rates: tuple[BudgetLimit, ...] = ()  # org, team, app
    key_rates: tuple[BudgetLimit, ...] = ()  # templates
    user_rates: tuple[BudgetLimit, ...] = ()  # templates


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything that a decision, a route, a price and a budget need, under one hash."""

    hash: str
    policy_name: str
    policy_version: int
    facts_hash: str
    prices_hash: str
    tenant: str
    timezone: str
    currency: str
    deployments: Mapping[str, Deployment]
    connections: Mapping[str, Connection]
    routes: Mapping[str, Route]  # by alias
    apps: Mapping[str, App]
    prices: Mapping[str, tuple[Price, ...]]  # by deployment, ordered by valid_from
    rates: tuple[Rate, ...]
    rules: CompiledRules
    detectors_for: Mapping[str, frozenset[str]]  # app → kinds that can change its verdict or obligations
    degraded_modes: Mapping[str, str] = field(default_factory=dict[str, str])  # control → refuse | …
    pools: Mapping[str, Pool] = field(default_factory=dict[str, Pool])  # own GPUs, paid by time
    policy_owner: str = ""  # whom a refusal names when no rule names another
    alerts: AlertPlan = NO_ALERTS
    billing: Mapping[str, Billing] = field(default_factory=dict[str, Billing])  # by vendor
    books: Books = field(default_factory=Books)  # accounts, and how a period is closed
    model_budgets: Mapping[str, tuple[BudgetLimit, ...]] = field(  # by alias
        default_factory=dict[str, tuple[BudgetLimit, ...]]
    )
    data_budgets: Mapping[str, tuple[BudgetLimit, ...]] = field(  # by label: its own and of what it is also
        default_factory=dict[str, tuple[BudgetLimit, ...]]
    )

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """Every name that an app may send → the alias it means."""
        names = {alias: alias for alias in self.routes}
        for route in self.routes.values():
            for name in route.also_called:
                names[name] = route.alias
        return names

    @cached_property
    def pool_of(self) -> Mapping[str, Pool]:
        """The pool that serves a deployment, by deployment."""
        return {name: pool for pool in self.pools.values() for name in pool.deployments}

    @cached_property
    def tariffs(self) -> Mapping[str, tuple[Tariff, ...]]:
        """The prices by deployment, what was known last first, compiled to integers."""
        return {deployment: tariffs(prices) for deployment, prices in self.prices.items()}

    @cached_property
    def exchange(self) -> Mapping[tuple[str, str], tuple[Step, ...]]:
        """The exchange rates by (base, quote), oldest first, as integer ratios."""
        return exchange(self.rates)

    @cached_property
    def memo(self) -> dict[tuple[str, ...], object]:
        """What pure functions worked out from this snapshot before, under keys of their own.

        It can only save time: what is in it follows from the snapshot alone.
        """
        return {}
