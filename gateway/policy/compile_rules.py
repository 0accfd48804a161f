"""The sentences of policy.yaml → tables of bits: labels, rules, exceptions and duties.

Rules share tests, and a test over many deployments is what compiling costs; so each test is
evaluated once per deployment, as the instant until which it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from gateway.core.must import holds_until, widen
from gateway.core.places import Places
from gateway.core.rules import (
    FOREVER,
    NEVER,
    RUNGS,
    UNLABELLED,
    BoundTest,
    CompiledRules,
    Condition,
    DocumentTest,
    Exemption,
    Label,
    Lapsing,
    Must,
    Obligations,
    PlaceTest,
    Rule,
    RungTest,
    Scope,
    Test,
    UseTest,
    ValueTest,
    merge,
)
from gateway.core.snapshot import App, Deployment
from gateway.policy import schema
from gateway.policy.bundle import Bundle, Placed
from gateway.policy.check import ANY, PLACE_FACTS, REGISTERED
from gateway.policy.only_if import condition

DAY = 86_400 * 1_000_000_000

VALUE_FACTS = ("vendor", "operator", "parent_home", "trains_on_data", "human_review", "transfer_basis")
"""Facts that are one word out of several."""


def day_end(day: date) -> int:
    """Return the instant at which a day ends, UTC: what is good for that day has ended then."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000_000 + DAY


class RuleCompiler:
    """Compiles labels, rules and exceptions over one set of deployments."""

    def __init__(self, bundle: Bundle, deployments: Mapping[str, Deployment]) -> None:
        self.bundle = bundle
        self.policy = bundle.policy
        self.deployments = list(deployments.values())
        self.labels = self._labels()
        # Rules share tests, and a test over 512 deployments is what compiling costs.
        self.ends: dict[tuple[Test, str], list[int]] = {}

    def compile(self) -> CompiledRules:
        """Return the tables of the whole policy."""
        rules = tuple(self._rule(placed) for placed in self.bundle.rules)
        alive = Lapsing.of((d.index, d.expires) for d in self.deployments)
        instants = set(alive.times)
        for rule in rules:
            tables = [rule.passes or {}, *(exemption.passes for exemption in rule.exemptions)]
            instants.update(time for table in tables for lapsing in table.values() for time in lapsing.times)
            instants.update(exemption.until for exemption in rule.exemptions)
        unlabelled = self.policy.data.get(UNLABELLED)
        return CompiledRules(
            rules=rules,
            labels=self.labels,
            treat_as=unlabelled.treat_as if unlabelled is not None else None,
            alive=alive,
            uses={use: self._bits(d for d in self.deployments if use in d.uses) for use in schema.USES},
            covers={f: self._bits(d for d in self.deployments if f in d.covers) for f in schema.FEATURES},
            instants=tuple(sorted(instants)),
        )

    @staticmethod
    def _bits(deployments: Iterable[Deployment]) -> int:
        return sum(1 << deployment.index for deployment in deployments)

    def _labels(self) -> dict[str, Label]:
        return {
            name: Label(
                name=name,
                closure=frozenset(self._above(name)),
                by_app="app" in kind.found_by,
                by_header="header" in kind.found_by,
                kinds=frozenset(
                    schema.KIND_ALIASES.get(word, word)
                    for source in kind.found_by
                    if (word := source.removeprefix("detector:")) != source
                ),
                claims=tuple(
                    (key, value)
                    for source in kind.found_by
                    for key, equals, value in [source.partition("=")]
                    if equals
                ),
                at=self.bundle.at("policy", "data", name),
            )
            for name, kind in self.policy.data.items()
            if not (name == UNLABELLED and kind.treat_as is not None)
        }

    def _above(self, name: str) -> set[str]:
        found, todo = set[str](), [name]
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += self.policy.data[one].is_also
        return found

    def _names(self, names: list[str] | None) -> frozenset[str] | None:
        """Return kinds of data as a rule names them; ``any`` and ``unlabelled`` are resolved."""
        if names is None or ANY in names:
            return None
        unlabelled = self.policy.data.get(UNLABELLED)
        treated = unlabelled.treat_as if unlabelled is not None else None
        return frozenset(treated if name == UNLABELLED and treated else name for name in names)

    def _below(self, names: frozenset[str] | None) -> frozenset[str] | None:
        if names is None:
            return None
        return frozenset(name for name, label in self.labels.items() if label.closure & names)

    def _places(self, words: list[str]) -> Places:
        return frozenset(code for word in words for code in self.policy.places.get(word, [word]))

    def _scope(self, wanted: schema.For) -> Scope:
        return Scope(
            apps=_some(wanted.app),
            teams=_some(wanted.team),
            tenants=_some(wanted.tenant),
            groups=_some(wanted.group),
            purposes=_some(wanted.purpose),
            uses=_some(wanted.use),
            caller_in=self._places(wanted.caller_in) if wanted.caller_in is not None else None,
        )

    def _must(self, wanted: schema.Must) -> Must:
        tests: list[Test] = []
        for fact in PLACE_FACTS:
            words: list[str] | None = getattr(wanted, fact)
            if words is not None:
                tests.append(PlaceTest(fact=fact, allowed=self._places(words), shown=" or ".join(words)))
        for fact in VALUE_FACTS:
            values: list[str] | None = getattr(wanted, fact)
            if values is not None:
                tests.append(ValueTest(fact=fact, values=frozenset(values)))
        if wanted.keeps_content_days is not None:
            tests.append(_bound("keeps_content_days", wanted.keeps_content_days))
        for name, own in wanted.own.items():
            fact = f"own.{name}"
            tests.append(
                _bound(fact, own)
                if isinstance(own, schema.Bound)
                else ValueTest(fact=fact, values=frozenset(own))
            )
        if wanted.baa_covers is not None:
            tests.append(UseTest(fact="baa_covers"))
        tests += self._rungs(wanted, tests)
        tests += [DocumentTest(document=document) for document in wanted.has or ()]
        return Must(tests=tuple(tests), or_has=tuple(wanted.or_has or ()))

    @staticmethod
    def _rungs(wanted: schema.Must, tests: list[Test]) -> list[Test]:
        """Return how well facts must be known: all that are tested, and single ones better still."""
        asked = wanted.rung or {}
        least: dict[str, str] = {}
        if "all" in asked:
            tested = [test.fact for test in tests if not isinstance(test, DocumentTest)]
            least = {fact: asked["all"] for fact in tested if fact in schema.PROVEN_FACTS}
        for fact, rung in asked.items():
            if fact != "all":
                least[fact] = max(rung, least.get(fact, rung), key=RUNGS.index)
        return [_at_least(fact, rung) for fact, rung in least.items()]

    def _rule(self, placed: Placed[schema.RuleModel]) -> Rule:
        rule, layer = placed.value, placed.layer
        scope = self._scope(rule.for_)
        if layer is not None:
            around = Scope(apps=_some(layer.for_.app), teams=_some(layer.for_.team))
            scope = replace(scope, within=around)
        must = self._must(rule.must) if rule.must is not None else None
        if must is not None and not must.tests:
            must = None
        data = self._names(rule.for_.data)
        caller = rule.must.caller_in if rule.must is not None else None
        return Rule(
            id=rule.id,
            says=rule.says,
            scope=scope,
            data=data,
            allow=rule.allow,
            strength=rule.strength,
            shadow=rule.shadow,
            must=must,
            passes=self._passes(must, FOREVER) if must is not None else None,
            caller_must_be_in=self._places(caller) if caller is not None else None,
            caller_shown=" or ".join(caller or ()),
            do=self._do(rule.do, data),
            exemptions=tuple(
                self._exemption(k, exception, must)
                for k, exception in enumerate(self.policy.exceptions)
                if exception.rule == rule.id and must is not None and rule.strength == "exception"
            ),
            owner=rule.owner or (layer.owner if layer is not None else None) or "",
            why=tuple(rule.why),
            at=placed.at,
            only_if=self._only_if(rule.only_if),
            only_if_shown=rule.only_if or "",
            unit=layer.unit if layer is not None else "",
        )

    def _only_if(self, text: str | None) -> Condition | None:
        if text is None:
            return None
        return condition(
            text,
            {
                name: (team, frozenset({REGISTERED, *app.groups}))
                for team, value in self.bundle.teams.teams.items()
                for name, app in value.apps.items()
            },
        )

    def _exemption(self, index: int, exception: schema.ExceptionModel, must: Must | None) -> Exemption:
        until = day_end(exception.until)
        widened = widen(must, self._must(exception.lets)) if must is not None else Must(tests=())
        return Exemption(
            scope=self._scope(exception.for_),
            data=self._below(self._names(exception.for_.data)),
            passes=self._passes(widened, until),
            owner=exception.owner,
            until=until,
            until_day=exception.until.isoformat(),
            at=self.bundle.at("policy", "exceptions", index),
        )

    def _passes(self, must: Must, until: int) -> dict[str, Lapsing]:
        """Return what passes a ``must``, by use; ``until`` ends an exception's."""
        uses = schema.USES if must.by_use else ("",)
        return {use: self._lapsing(must, use, until) for use in uses} | (
            {"": Lapsing(times=(), masks=(0,))} if must.by_use else {}
        )

    def _lapsing(self, must: Must, use: str, until: int) -> Lapsing:
        count = len(self.deployments)
        stand_in = [NEVER] * count
        for document in must.or_has:
            stand_in = list(map(max, stand_in, self._test(DocumentTest(document=document), use)))
        ends = [until] * count
        for test in must.tests:
            one = self._test(test, use)
            if must.or_has and isinstance(test, PlaceTest):
                one = list(map(max, one, stand_in))
            ends = list(map(min, ends, one))
        return Lapsing.of(enumerate(ends))  # deployments stand in the order of their bits

    def _test(self, test: Test, use: str) -> list[int]:
        key = (test, use)
        if key not in self.ends:
            self.ends[key] = [holds_until(test, deployment, use) for deployment in self.deployments]
        return self.ends[key]

    def _do(self, items: list[schema.Do], data: frozenset[str] | None) -> Obligations:
        return merge(self._duty(item, data) for item in items)

    def _kinds(self, data: frozenset[str] | None) -> frozenset[str]:
        """Return the kinds that made a rule's data found; all, where no detector does."""
        below = self._below(data) or frozenset()
        kinds = frozenset(kind for name in below for kind in self.labels[name].kinds)
        return kinds or frozenset(schema.KINDS) - schema.NOT_PERSONAL

    def _duty(self, item: str | schema.DoMap, data: frozenset[str] | None) -> Obligations:
        match item:
            case "mask":
                return Obligations(mask=self._kinds(data))
            case "tokenise":
                return Obligations(tokenise=self._kinds(data))
            case "block":
                return Obligations(block=self._kinds(data))
            case "hash":
                return Obligations(hash=self._kinds(data))
            case "report":
                return Obligations(report=self._kinds(data))
            case "no_store":
                return Obligations(no_store=True)
            case "disclose_ai":
                return Obligations(disclose_ai=True)
            case schema.DoMap():
                return Obligations(
                    mask=frozenset(item.mask or ()),
                    tokenise=frozenset(item.tokenise or ()),
                    preserving=frozenset(item.tokenise or ()) if item.format == "preserving" else frozenset(),
                    block=frozenset(item.block or ()),
                    hash=frozenset(item.hash or ()),
                    report=frozenset(item.report or ()),
                    answer_tokens=item.answer_tokens.at_most if item.answer_tokens else None,
                    log_in=self._places(item.log_in) if item.log_in is not None else None,
                    forbid_tools=frozenset(item.forbid_tools or ()),
                    no_store=item.no_store is True,
                    keep_log_days_at_least=item.keep_log_days.at_least if item.keep_log_days else None,
                    keep_log_days_at_most=item.keep_log_days.at_most if item.keep_log_days else None,
                    cache_scope=item.cache_scope,
                    marks=frozenset({item.mark} if item.mark else ()),
                    disclose_ai=item.disclose_ai is True,
                    ask=(item.ask,) if item.ask else (),
                )
            case _:
                raise AssertionError(item)


def _some(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _at_least(fact: str, rung: str) -> RungTest:
    """Return the test that a fact is known by a rung, or by one above it."""
    return RungTest(fact=fact, rungs=frozenset(RUNGS[RUNGS.index(rung) :]), shown=rung)


def _bound(fact: str, bound: schema.Bound) -> BoundTest:
    return BoundTest(fact=fact, at_most=bound.at_most, at_least=bound.at_least)


def detectors(app: App, rules: CompiledRules) -> frozenset[str]:
    """Return the kinds of findings that can change an app's verdict or its duties.

    A label that the app carries anyway need not be found; a rule that can never match the app
    needs nothing. Rules in shadow and those that warn count: what they would do is recorded.
    """
    registered = {name for given in app.data for name in rules.labels[given].closure}
    if not app.data and rules.treat_as is not None:
        registered |= rules.labels[rules.treat_as].closure
    mine = [
        rule
        for rule in rules.rules
        if (rule.scope.apps is None or app.id in rule.scope.apps or app.groups & rule.scope.apps)
        and (rule.scope.teams is None or app.team in rule.scope.teams)
    ]
    guarded = any(e.data is not None for rule in mine for e in rule.exemptions)
    kinds: set[str] = set()
    for label in rules.labels.values():
        added = label.closure - registered
        if added and (guarded or any(rule.data is not None and rule.data & added for rule in mine)):
            kinds |= label.kinds
    reachable = frozenset(registered).union(
        *(label.closure for label in rules.labels.values() if label.by_header or label.claims or label.kinds)
    )
    for rule in mine:
        if rule.data is None or rule.data & reachable:
            kinds |= rule.do.kinds
    return frozenset(kinds)
