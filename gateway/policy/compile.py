"""A bundle → a snapshot: rules become tables of bits, files become the core's values.

Everything that a call will need is worked out here once, so that a decision only ANDs masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from gateway.core.places import Places
from gateway.core.snapshot import (
    App,
    Connection,
    Deployment,
    Provenance,
    Route,
    Snapshot,
)
from gateway.policy import compile_budgets, compile_prices, schema
from gateway.policy.bundle import Bundle
from gateway.policy.check import PLACE_FACTS, REGISTERED
from gateway.policy.compile_pools import pools
from gateway.policy.compile_rules import VALUE_FACTS, RuleCompiler, day_end, detectors
from gateway.policy.schema_alerts import plan
from gateway.policy.schema_billing import billing
from gateway.policy.schema_books import books
from gateway.policy.schema_degrade import allowed, ladder
from gateway.policy.shared_facts import plain
from gateway.policy.source import Document


def compile_bundle(bundle: Bundle, *, now: int) -> Snapshot:
    """Return the snapshot of a checked bundle. ``now`` (ns) does not change it: time is kept in it."""
    del now  # facts and exceptions carry their own ends, see Lapsing
    deployments = _deployments(bundle)
    rules = RuleCompiler(bundle, deployments).compile()
    apps = _apps(bundle)
    return Snapshot(
        hash=bundle.hash,
        policy_name=bundle.policy.policy,
        policy_version=bundle.policy.version,
        policy_owner=bundle.policy.owner,
        facts_hash=bundle.facts_hash,
        prices_hash=bundle.prices_hash,
        tenant=bundle.tenant,
        timezone=bundle.teams.timezone,
        currency=bundle.teams.currency,
        deployments=deployments,
        connections=_connections(bundle),
        routes=_routes(bundle),
        apps=apps,
        prices=compile_prices.prices(bundle),
        rates=compile_prices.rates(bundle),
        rules=rules,
        detectors_for={name: detectors(app, rules) for name, app in apps.items()},
        pools=pools(bundle),
        alerts=plan(bundle.alerts, bundle.documents["alerts"]),
        books=books(bundle.teams.books, bundle.documents["teams"]),
        billing={
            name: billing(name, vendor.billing)
            for name, vendor in bundle.vendors.items()
            if vendor.billing is not None
        },
        model_budgets=compile_budgets.of_models(bundle),
        data_budgets=compile_budgets.of_data(bundle),
        degraded_modes={str(k): str(mode) for k, mode in bundle.policy.when_down.items()},
    )


# ---------------------------------------------------------------------- facts


def _codes(codes: list[str] | None) -> Places | None:
    """Return places, or ``None``: one unknown place makes the whole fact unknown."""
    return None if not codes or "unknown" in codes else frozenset(codes)


def _deployments(bundle: Bundle) -> dict[str, Deployment]:
    return {
        name: _deployment(bundle, name, index, facts)
        for index, (name, facts) in enumerate(sorted(bundle.deployments.items()))
    }


def _deployment(bundle: Bundle, name: str, index: int, facts: schema.DeploymentModel) -> Deployment:
    path = ("deployments", name)
    last = facts.seen + timedelta(days=facts.recheck_days)
    document = bundle.documents["deployments"]
    papers = {paper: day for paper in facts.has if (day := bundle.until(facts, paper)) is not None}
    days = plain(facts.keeps_content_days)
    return Deployment(
        id=name,
        index=index,
        vendor=facts.vendor,
        operator=facts.operator or facts.vendor,
        parent_home=plain(facts.parent_home),
        sku=facts.sku,
        processed_in=_codes(plain(facts.processed_in)),
        stored_in=_codes(plain(facts.stored_in)),
        vendor_logs_in=_codes(plain(facts.vendor_logs_in)),
        staff_access_from=_codes(plain(facts.staff_access_from)),
        tls_ends_in=_codes(plain(facts.tls_ends_in)),
        keeps_content_days=days if isinstance(days, int) else None,
        trains_on_data=plain(facts.trains_on_data),
        human_review=plain(facts.human_review),
        uses=frozenset(facts.uses),
        has={paper: day_end(until) for paper, until in papers.items()},
        covers=frozenset(facts.covers),
        facts=_as_written(facts, papers),
        seen=facts.seen.isoformat(),
        expires=day_end(last),
        max_output_tokens=facts.max_output_tokens,
        stops_billing_on_disconnect=facts.stops_billing_on_disconnect,
        abort_lag_tokens=facts.abort_lag_tokens,
        media_caps={str(kind): cap for kind, cap in facts.media_caps.items()},
        at=document.at(path),
        source=facts.source,
        recheck_by=last.isoformat(),
        lines=_lines(document, path),
        rung=facts.rung,
        provenance=_provenance(bundle, name, facts),
        like=facts.like or "",
    )


def _provenance(bundle: Bundle, name: str, facts: schema.DeploymentModel) -> dict[str, Provenance]:
    """Return where single facts are from; those without are from where the deployment's facts are."""
    found: dict[str, Provenance] = {}
    for fact in schema.PROVEN_FACTS:
        stated = getattr(facts, fact)
        if not isinstance(stated, schema.Fact):
            continue
        seen = stated.seen or facts.seen
        last = seen + timedelta(days=stated.good_for_days or facts.recheck_days)
        found[fact] = Provenance(
            source=stated.source or facts.source,
            seen=seen.isoformat(),
            recheck_by=last.isoformat(),
            ends=day_end(last),
            rung=stated.rung or facts.rung,
            at=bundle.fact_at(name, fact),
        )
    return found


def _lines(document: Document, path: tuple[str, str]) -> dict[str, int]:
    """Return the line of each fact as written; ``own.x`` for those of the house."""
    lines: dict[str, int] = {}
    for fact in schema.DeploymentModel.model_fields:
        if (*path, fact) in document.marks:
            lines[fact] = document.mark((*path, fact))[0]
    for key in document.keys((*path, "own")):
        lines[f"own.{key}"] = document.mark((*path, "own", key))[0]
    return lines


def _as_written(facts: schema.DeploymentModel, papers: Mapping[str, date]) -> dict[str, object]:
    written: dict[str, object] = {"vendor": facts.vendor, "operator": facts.operator or facts.vendor}
    for fact in (*VALUE_FACTS[2:], *PLACE_FACTS, "keeps_content_days", "baa_covers", "uses", "covers"):
        written[fact] = plain(getattr(facts, fact))
    written["has"] = {paper: until.isoformat() for paper, until in papers.items()}
    written["proof"] = facts.proof
    written |= {f"own.{name}": value for name, value in facts.own.items()}
    return written


# ------------------------------------------------- connections, routes, teams, prices

_DEFAULT_SURFACES: dict[str, tuple[str, ...]] = {
    "openai": ("chat", "embeddings"),
    "azure_openai": ("chat", "embeddings", "responses"),
    "anthropic": ("messages", "count_tokens"),
    "bedrock": ("chat",),
    "gemini": ("chat",),
}

_DEFAULT_URLS = {
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}


_OPTIONS = (
    "aws_region", "api_version", "organization", "project", "inference_geo", "credentials_url", "tokenizer",
)  # fmt: skip


def _connections(bundle: Bundle) -> dict[str, Connection]:
    found: dict[str, Connection] = {}
    for name, wanted in bundle.connections.items():
        url = wanted.url or _DEFAULT_URLS.get(wanted.api)
        options = {key: value for key in _OPTIONS if (value := getattr(wanted, key)) is not None}
        found[name] = Connection(
            deployment=name,
            api=wanted.api,
            url=url or f"https://bedrock-runtime.{wanted.aws_region}.amazonaws.com",
            model=wanted.model,
            secret=wanted.secret,
            options=options,
            surfaces=frozenset(wanted.surfaces or _DEFAULT_SURFACES[wanted.api]),
            connect_timeout_ms=wanted.connect_timeout_ms,
            first_byte_timeout_ms=wanted.first_byte_timeout_ms,
            idle_timeout_ms=wanted.idle_timeout_ms,
            ca_bundle=wanted.ca_bundle,
            at=bundle.at("connections", "connections", name),
        )
    return found


def _routes(bundle: Bundle) -> dict[str, Route]:
    return {
        alias: Route(
            alias=alias,
            also_called=tuple(route.also_called),
            tries=tuple(route.try_),
            timeout_ms=route.timeout_ms,
            # One more than there are deployments: a lone one may be tried once again.
            tries_at_most=route.tries_at_most or len(route.try_) + 1,
            at=bundle.at("routes", "routes", alias),
            uses=frozenset(route.use) if route.use is not None else None,
            when_over=ladder(route.when_over),
        )
        for alias, route in bundle.routes.items()
    }


def _apps(bundle: Bundle) -> dict[str, App]:
    teams = bundle.teams
    org = compile_budgets.budgets(bundle, "org", bundle.tenant, teams.budget, "budget")
    of_users = compile_budgets.budgets(bundle, "user", "*", teams.user_budget, "user_budget")
    org_rates = compile_budgets.rates(bundle, "org", bundle.tenant, teams.rate, "rate")
    apps: dict[str, App] = {}
    for team_id, team in teams.teams.items():
        of_team = compile_budgets.budgets(bundle, "team", team_id, team.budget, "teams", team_id, "budget")
        team_rates = compile_budgets.rates(bundle, "team", team_id, team.rate, "teams", team_id, "rate")
        for app_id, app in team.apps.items():
            path = ("teams", team_id, "apps", app_id)
            centres = app.cost_centre or team.cost_centre
            apps[app_id] = App(
                id=app_id,
                team=team_id,
                tenant=bundle.tenant,
                data=tuple(app.data),
                models=tuple(app.models),
                groups=frozenset({REGISTERED, *app.groups}),
                purpose=app.purpose,
                cost_centres=tuple(sorted((centre.from_.isoformat(), centre.code) for centre in centres)),
                budgets=org
                + of_team
                + compile_budgets.budgets(bundle, "app", app_id, app.budget, *path, "budget"),
                key_budgets=compile_budgets.budgets(bundle, "key", "*", app.key_budget, *path, "key_budget"),
                user_budgets=of_users
                + compile_budgets.budgets(
                    bundle, "user", f"{app_id}/*", app.user_budget, *path, "user_budget"
                ),
                rates=org_rates
                + team_rates
                + compile_budgets.rates(bundle, "app", app_id, app.rate, *path, "rate"),
                key_rates=compile_budgets.rates(bundle, "key", "*", app.key_rate, *path, "key_rate"),
                user_rates=compile_budgets.rates(
                    bundle, "user", f"{app_id}/*", app.user_rate, *path, "user_rate"
                ),
                at=bundle.at("teams", *path),
                when_over=allowed(app.when_over, team.when_over),
            )
    return apps
