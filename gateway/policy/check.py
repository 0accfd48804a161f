"""What must agree between the files of a bundle, and what deserves a warning.

Errors stop a bundle. Warnings are sentences about what its authors will want to know: an app
that gets nothing from an alias, a rule without a test, facts that soon go stale.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from gateway.core.explain import BUILT_IN
from gateway.core.rules import UNKNOWN, UNLABELLED
from gateway.policy import check_alerts, check_budgets, check_degrade, check_facts, check_pools, check_prices
from gateway.policy.bundle import Bundle, Placed
from gateway.policy.checker import Checker
from gateway.policy.only_if import NotUsable, condition
from gateway.policy.problems import Problem, did_you_mean
from gateway.policy.schema import (
    KIND_ALIASES,
    KINDS,
    PROVEN_FACTS,
    DataKind,
    For,
    Must,
    RuleModel,
)
from gateway.policy.source import Document, Key

ANY = "any"
REGISTERED = "registered"
EXCEPTION_DAYS = 90

PLACE_FACTS = ("processed_in", "stored_in", "vendor_logs_in", "staff_access_from", "tls_ends_in")


def check(bundle: Bundle, *, now: int) -> tuple[list[Problem], list[Problem]]:
    """Return (errors, warnings) of a bundle whose files are each valid. ``now`` in ns."""
    check = _Check(bundle, datetime.fromtimestamp(now // 1_000_000_000, UTC).date())
    check.data()
    check.rules()
    check.exceptions()
    check.cases()
    check_facts.facts(check)
    check_facts.vendors(check)
    check.units()
    check.connections()
    check.routes()
    check.teams()
    check.prices()
    check_pools.pools(check)
    check_degrade.degrade(check)
    check_alerts.alerts(check)
    return check.errors, check.warnings


class _Check(Checker):
    """Collects problems; each method looks at one part."""

    def __init__(self, bundle: Bundle, today: date) -> None:
        super().__init__(bundle, today)
        self.rule_ids = {placed.value.id: placed.value for placed in bundle.rules}
        self.apps = {name: app for team in bundle.teams.teams.values() for name, app in team.apps.items()}
        self.groups = {group for app in self.apps.values() for group in app.groups} | {REGISTERED}
        self.names = {name for alias, route in bundle.routes.items() for name in (alias, *route.also_called)}
        facts = bundle.deployments.values()
        papers = {name for f in facts for name in f.has}
        self.stated = {
            "has": papers,
            "or_has": papers,
            "vendor": {f.vendor for f in facts},
            "own": {name for f in facts for name in f.own},
        }

    # policy.yaml

    def data(self) -> None:
        document = self.document("policy")
        kinds = self.policy.data
        for name, kind in kinds.items():
            path: Key = ("data", name)
            if name in {ANY, UNKNOWN}:
                self.error(document, path, f"`{name}` is a word of the language", "choose another name")
            self.known(document, (*path, "is_also"), "kind of data", kind.is_also, kinds)
            if kind.treat_as is not None:
                if name != UNLABELLED:
                    self.error(
                        document, (*path, "treat_as"), f"only `{UNLABELLED}` is treated as something else"
                    )
                self.known(
                    document, (*path, "treat_as"), "kind of data", [kind.treat_as], set(kinds) - {name}
                )
            for i, source in enumerate(kind.found_by):
                word = source.removeprefix("detector:")
                if word != source and word not in KINDS and word not in KIND_ALIASES:
                    at = (*path, "found_by", i)
                    self.error(document, at, f"unknown kind of finding `{word}`", did_you_mean(word, KINDS))
            if _cycle(name, kinds):
                self.error(
                    document, (*path, "is_also"), f"`{name}` is also itself, in a circle", "remove one step"
                )
        for place, codes in self.policy.places.items():
            for k, code in enumerate(codes):
                if code == "unknown":
                    self.error(document, ("places", place, k), "a place cannot be unknown")

    def scope(self, document: Document, path: Key, scope: For) -> None:
        kinds = {*self.policy.data, ANY}
        self.known(document, (*path, "data"), "kind of data", scope.data, kinds)
        if self.apps:
            self.known(
                document, (*path, "app"), "app or group of apps", scope.app, {*self.apps, *self.groups}
            )
            self.known(document, (*path, "team"), "team", scope.team, self.bundle.teams.teams)
        self.places(document, (*path, "caller_in"), scope.caller_in)

    def must(self, document: Document, path: Key, must: Must) -> None:
        for fact in (*PLACE_FACTS, "caller_in"):
            self.places(document, (*path, fact), getattr(must, fact))
        for key, known in self.stated.items():
            for word in getattr(must, key) or ():
                near = did_you_mean(word, known) or ""
                # A vendor or a document may well be named before anybody uses it; a near miss is a slip.
                if word not in known and (near.startswith("did") or key == "own"):
                    self.warn(document, (*path, key), f"no deployment's facts name `{word}`", near or None)

    def rules(self) -> None:
        seen: dict[str, str] = {}
        for placed in self.bundle.rules:
            document, path, rule = placed.document, placed.path, placed.value
            if rule.id in seen:
                self.error(
                    document, (*path, "id"), f"the id `{rule.id}` stands twice", f"see {seen[rule.id]}"
                )
            if rule.id in BUILT_IN:
                self.error(document, (*path, "id"), f"the id `{rule.id}` is built in", "choose another")
            seen[rule.id] = placed.at
            self.scope(document, (*path, "for"), rule.for_)
            if rule.must is not None:
                self.must(document, (*path, "must"), rule.must)
            self.one_rule(document, path, rule)
            self.allows(placed)
            if not any(self.tests(rule)):
                self.warn(
                    document,
                    path,
                    f"the rule `{rule.id}` has no test",
                    "add a case under tests that names it in by",
                )

    def allows(self, placed: Placed[RuleModel]) -> None:
        document, path, rule = placed.document, placed.path, placed.value
        if placed.layer is not None and rule.allow:
            message = "a layer can only narrow, so its rules may not allow"
            self.error(document, (*path, "allow"), message, "allow it in policy.yaml")
        if rule.only_if is None:
            return
        if not rule.allow:
            message = "`only_if` narrows what a rule allows, and this rule allows nothing"
            self.error(document, (*path, "only_if"), message, "put it on the rule with allow: true")
            return
        try:
            condition(rule.only_if, {})
        except NotUsable as wrong:
            self.error(document, (*path, "only_if"), str(wrong), wrong.suggestion)

    def units(self) -> None:
        seen: dict[str, str] = {}
        for placed in self.bundle.units:
            document, unit = placed.document, placed.value
            if unit.unit in seen:
                self.error(document, ("unit",), f"the layer `{unit.unit}` stands in {seen[unit.unit]} too")
            seen[unit.unit] = document.file
            self.known(document, ("for", "team"), "team", unit.for_.team, self.bundle.teams.teams)
            names = {*self.apps, *self.groups}
            self.known(document, ("for", "app"), "app or group of apps", unit.for_.app, names)

    def tests(self, rule: RuleModel) -> Iterable[bool]:
        """Yield whether each test exercises the rule."""
        for placed in self.bundle.tests:
            case = placed.value
            named = {*(case.by or ()), *(case.by_exception or ())}
            yield (
                rule.id in named
                or (case.with_ is not None and bool(rule.do))
                or (rule.allow and case.expect == "allowed" and case.use in (rule.for_.use or [case.use]))
            )

    def one_rule(self, document: Document, path: Key, rule: RuleModel) -> None:
        if rule.allow and rule.for_.data not in (None, [ANY]):
            message = "a rule that allows may not name kinds of data: labels only narrow"
            self.error(document, (*path, "for", "data"), message, "restrict them by a rule with must")
        if not rule.allow and rule.must is None and not rule.do:
            self.error(
                document, path, f"the rule `{rule.id}` says nothing to the machine", "add must, do or allow"
            )
        if rule.must is not None:
            self.asks(document, (*path, "must"), rule.must)
        for k, item in enumerate(rule.do):
            at = (*path, "do", k)
            if isinstance(item, str):
                continue
            self.places(document, (*at, "log_in"), item.log_in)
            if item.answer_tokens is not None and item.answer_tokens.at_most is None:
                self.error(
                    document, (*at, "answer_tokens"), "this is an upper bound", "write {at_most: 4000}"
                )
            days = item.keep_log_days
            if days is not None and (days.at_least or 0) > (
                days.at_most if days.at_most is not None else 10**9
            ):
                self.error(document, (*at, "keep_log_days"), "no number of days is within these bounds")

    def asks(self, document: Document, path: Key, must: Must) -> None:
        """Check that a ``must`` asks something: an empty one would hold silently."""
        keys = {key for key in must.model_fields_set if getattr(must, key)} - {"or_has"}
        if not keys:
            self.error(
                document, path, "this asks nothing of a deployment", "name a fact, a document or a caller"
            )
        if "all" in (must.rung or {}) and not keys & set(PROVEN_FACTS):
            fix = "write {rung: {processed_in: contract}}, or test a fact here"
            self.error(document, (*path, "rung"), "no fact is tested here whose rung could be asked", fix)

    def exceptions(self) -> None:
        document = self.document("policy")
        for i, exception in enumerate(self.policy.exceptions):
            path: Key = ("exceptions", i)
            self.known(document, (*path, "rule"), "rule", [exception.rule], self.rule_ids)
            self.scope(document, (*path, "for"), exception.for_)
            self.must(document, (*path, "lets"), exception.lets)
            rule = self.rule_ids.get(exception.rule)
            if rule is not None:
                self.one_exception(document, path, rule, exception.lets)
            if (exception.until - self.today).days > EXCEPTION_DAYS:
                last = self.today + timedelta(days=EXCEPTION_DAYS)
                message = f"an exception lasts at most {EXCEPTION_DAYS} days"
                self.error(document, (*path, "until"), message, f"write {last} or earlier")
            elif exception.until < self.today:
                self.warn(
                    document, (*path, "until"), f"this exception ended on {exception.until}", "remove it"
                )
            if not exception.approved_by or exception.approved_by == [exception.owner]:
                self.error(document, (*path, "approved_by"), "somebody other than the owner approves")
            named = set(exception.for_.data or [ANY])
            for name in sorted(named - {ANY}):
                also = _above(name, self.policy.data) - {name}
                if also - named and not named & also:
                    message = (
                        f"this never applies: `{name}` is also {_listed(also)}, which for.data must name too"
                    )
                    self.warn(document, (*path, "for", "data"), message)

    def one_exception(self, document: Document, path: Key, rule: RuleModel, lets: Must) -> None:
        if rule.strength != "exception":
            message = f"the rule `{rule.id}` is {rule.strength}: no exception to it is possible"
            self.error(document, (*path, "rule"), message)
        asked = rule.must.model_fields_set if rule.must is not None else set()
        for key in sorted(lets.model_fields_set):
            if key in {"or_has", "caller_in", "baa_covers", "own", "rung"}:
                self.error(document, (*path, "lets", key), f"an exception cannot let `{key}`")
            elif key not in asked:
                message = f"the rule `{rule.id}` asks nothing about `{key}`"
                self.error(document, (*path, "lets", key), message, did_you_mean(key, asked))

    def cases(self) -> None:
        rules = {*self.rule_ids, *BUILT_IN}
        for placed in self.bundle.tests:
            document, path, case = placed.document, placed.path, placed.value
            self.known(document, (*path, "app"), "app", [case.app], self.apps)
            self.known(document, (*path, "data"), "kind of data", case.data, self.policy.data)
            self.known(
                document,
                (*path, "try"),
                "deployment or model",
                [case.try_],
                {*self.bundle.deployments, *self.names},
            )
            self.known(document, (*path, "by"), "rule", case.by, rules)
            self.known(document, (*path, "by_exception"), "rule", case.by_exception, rules)

    # deployments.yaml, connections.yaml, routes.yaml

    def connections(self) -> None:
        document = self.document("connections")
        for name, connection in self.bundle.connections.items():
            path: Key = ("connections", name)
            if name not in self.bundle.deployments:
                near = did_you_mean(name, self.bundle.deployments)
                self.error(document, path, f"`{name}` has no facts in deployments.yaml", near)
            if connection.api == "bedrock" and connection.url is None and connection.aws_region is None:
                self.error(document, path, "the key `aws_region` is missing")
            if connection.api in {"openai", "azure_openai"} and connection.url is None:
                self.error(document, path, "the key `url` is missing")

    def routes(self) -> None:
        document = self.document("routes")
        owner: dict[str, str] = {}
        for alias, route in self.bundle.routes.items():
            path: Key = ("routes", alias)
            self.known(document, (*path, "try"), "deployment", route.try_, self.bundle.deployments)
            for i, name in enumerate(route.try_):
                if name in self.bundle.deployments and name not in self.bundle.connections:
                    self.error(document, (*path, "try", i), f"`{name}` has no connection in connections.yaml")
                if name in route.try_[:i]:
                    self.error(document, (*path, "try", i), f"`{name}` stands twice")
            for called in (alias, *route.also_called):
                if called in owner:
                    message = f"`{called}` already names the route `{owner[called]}`"
                    self.error(document, (*path, "also_called") if called != alias else path, message)
                owner[called] = alias

    # teams.yaml, prices

    def teams(self) -> None:
        document = self.document("teams")
        teams = self.bundle.teams
        if teams.timezone not in zoneinfo.available_timezones():
            near = did_you_mean(teams.timezone, zoneinfo.available_timezones())
            self.error(document, ("timezone",), f"unknown time zone `{teams.timezone[:60]}`", near)
        owner: dict[str, str] = {}
        for team, value in teams.teams.items():
            for name, app in value.apps.items():
                path: Key = ("teams", team, "apps", name)
                if name in owner:
                    self.error(document, path, f"the app `{name}` stands in `{owner[name]}` too")
                if name in self.groups:
                    self.error(document, path, f"`{name}` is also a group of apps", "choose another name")
                owner[name] = team
                self.known(document, (*path, "models"), "model", app.models, self.bundle.routes)
                self.known(
                    document, (*path, "data"), "kind of data", app.data, set(self.policy.data) - {UNLABELLED}
                )
                for i, label in enumerate(app.data):
                    kind = self.policy.data.get(label)
                    if kind is not None and "app" not in kind.found_by:
                        at = (*path, "data", i)
                        self.error(
                            document, at, f"`{label}` may not be set by an app", "add app to its found_by"
                        )
        check_budgets.budgets(self)

    def prices(self) -> None:
        check_prices.prices(self, budgeted=check_budgets.in_money(self))


def _above(name: str, kinds: Mapping[str, DataKind]) -> set[str]:
    """Return a kind of data with everything that it is also."""
    found: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in found and one in kinds:
            found.add(one)
            todo += kinds[one].is_also
    return found


def _cycle(name: str, kinds: Mapping[str, DataKind]) -> bool:
    return any(name in _above(parent, kinds) for parent in kinds[name].is_also)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
