"""Proofs: a sentence holds over every app, alias, fallback, use and sink, or here is the path that breaks it.

The sentences are a closed set of templates, so that what is proved is exact. Labels only
narrow, so each label with what an app always carries covers every combination; facts only lapse,
so an instant covers its future under this bundle. Whatever may be unknown of a caller (place,
group, purpose) is taken as the caller would like it, and exceptions as if they applied: a proof
that holds here holds for every call. It is about configuration, labels and facts; it does not
say that detectors find everything or that vendors keep their word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.core.decide import by_use, closed, in_scope
from gateway.core.must import fact_of, holds_until, sentence
from gateway.core.places import Places, inside, valid
from gateway.core.rules import BoundTest, CompiledRules, PlaceTest, Subject, Test, ValueTest
from gateway.core.snapshot import App, Deployment, Snapshot
from gateway.policy.bundle import Bundle
from gateway.policy.problems import did_you_mean
from gateway.policy.schema import USES
from gateway.policy.sinks import Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a sentence says: for this label, every permitted deployment passes this test."""

    label: str
    test: Test


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The outcome for one sentence: ``broken`` holds counterexamples, ``error`` what it cannot mean."""

    sentence: str
    at: str
    broken: tuple[str, ...] = ()
    paths: int = 0  # how many app × alias × deployment × use, and app × sink, were covered
    error: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is proved."""
        return not self.broken and not self.error


_DATA = r"(?P<data>.+?) data"
_TEMPLATES: tuple[tuple[str, str, Callable[[re.Match[str], _Words], Test]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    places: Mapping[str, frozenset[str]]

    def place(self, name: str) -> frozenset[str]:
        for known, codes in self.places.items():
            if known.lower() == name.lower():
                return codes
        if valid(name):
            return frozenset({name})
        raise _Meaningless(
            f"unknown place `{name}`; " + (did_you_mean(name, self.places) or "name it under places")
        )


class _Meaningless(Exception):
    """A sentence names what does not exist."""


def _place(fact: str) -> Callable[[re.Match[str], _Words], Test]:
    return lambda match, words: PlaceTest(
        fact=fact, allowed=words.place(match["place"]), shown=match["place"]
    )


_TEMPLATES = (
    (
        "Client data never reaches a deployment outside Canada.",
        _DATA + r" never reaches a deployment outside (?P<place>.+)",
        _place("processed_in"),
    ),
    (
        "Client data is never stored outside Canada.",
        _DATA + r" is never stored outside (?P<place>.+)",
        _place("stored_in"),
    ),
    (
        "Client data is never logged outside Canada.",
        _DATA + r" is never logged outside (?P<place>.+)",
        _place("vendor_logs_in"),
    ),
    (
        "Client data is never seen by staff outside Canada.",
        _DATA + r" is never seen by staff outside (?P<place>.+)",
        _place("staff_access_from"),
    ),
    (
        "Client data is never decrypted outside Canada.",
        _DATA + r" is never decrypted outside (?P<place>.+)",
        _place("tls_ends_in"),
    ),
    (
        "No vendor trains on client data.",
        r"no vendor trains on " + _DATA,
        lambda _match, _words: ValueTest(fact="trains_on_data", values=frozenset({"never"})),
    ),
    (
        "No vendor employee reads client data.",
        r"no vendor employee reads " + _DATA,
        lambda _match, _words: ValueTest(fact="human_review", values=frozenset({"never"})),
    ),
    (
        "Client data is never kept over 30 days.",
        _DATA + r" is never kept over (?P<days>\d{1,5}) days?",
        lambda match, _words: BoundTest(fact="keeps_content_days", at_most=int(match["days"])),
    ),
    (
        "Client data reaches only microsoft, cohere or self.",
        _DATA + r" reaches only (?P<vendors>.+)",
        lambda match, _words: ValueTest(
            fact="vendor", values=frozenset(re.split(r",\s*|\s+(?:or|and)\s+", match["vendors"]))
        ),
    ),
)

TEMPLATES = tuple(example for example, _, _ in _TEMPLATES)
"""One example of each sentence that can be proved."""


def parse(text: str, bundle: Bundle) -> Goal | str:
    """Return what a sentence means, or why it means nothing here."""
    policy = bundle.policy
    words = _Words(
        places={
            name: frozenset(code for code in codes if code != "unknown")
            for name, codes in policy.places.items()
        }
    )
    labels = {
        name.replace("_", " ").lower(): name for name in policy.data if policy.data[name].treat_as is None
    }
    for _, pattern, build in _TEMPLATES:
        match = re.fullmatch(pattern, text.strip().rstrip("."), re.IGNORECASE)
        if match is None:
            continue
        said = match["data"].replace("_", " ").lower()
        if said not in labels:
            return f"unknown kind of data `{match['data'][:60]}`; {did_you_mean(said, labels) or ''}".rstrip(
                "; "
            )
        try:
            return Goal(label=labels[said], test=build(match, words))
        except _Meaningless as error:
            return str(error)
    near = did_you_mean(text, TEMPLATES)
    return "no such sentence can be proved; " + (
        near if near and near.startswith("did") else f"write for example “{TEMPLATES[0]}”"
    )


def prove(bundle: Bundle, snapshot: Snapshot, *, now: int, sinks: tuple[Sink, ...] = ()) -> list[Proof]:
    """Prove every sentence under ``prove`` at an instant (ns), over all paths of the bundle.

    ``sinks`` are where a process puts what it keeps of calls; without them the proof is about the
    bundle alone.
    """
    reaches = Reaches(snapshot, now=now)
    return [
        prove_sentence(
            text, bundle.at("policy", "prove", i), bundle, snapshot, now=now, sinks=sinks, reaches=reaches
        )
        for i, text in enumerate(bundle.policy.prove)
    ]


def prove_sentence(
    text: str,
    at: str,
    bundle: Bundle,
    snapshot: Snapshot,
    *,
    now: int,
    sinks: tuple[Sink, ...] = (),
    reaches: Reaches | None = None,
) -> Proof:
    """Prove one sentence over all paths. ``reaches`` remembers what other sentences worked out."""
    goal = parse(text, bundle)
    if isinstance(goal, str):
        return Proof(sentence=text, at=at, error=goal)
    reaches = reaches or Reaches(snapshot, now=now)
    failing = sum(
        1 << d.index
        for d in snapshot.deployments.values()
        if any(holds_until(goal.test, d, use) <= now for use in USES)
    )
    broken: list[str] = []
    paths = 0
    leaking = [sink for sink in sinks if _leaks(sink, goal.test)]
    for app in snapshot.apps.values():
        labels = label_set(app, goal.label, snapshot.rules)
        if labels is None:
            continue
        tried = reaches.tried(app)
        paths += len(USES) * reaches.hops(app) + len(sinks)
        for use in USES:
            reached = reaches.of(app, use, labels)
            broken += [
                _sink_path(sink, app, goal)
                for sink in leaking
                if reached & tried and _kept(sink, app, use, labels, snapshot)
            ]
            wrong = reached & failing & tried
            for alias in app.models if wrong else ():
                tries = snapshot.routes[alias].tries
                for i, name in enumerate(tries):
                    deployment = snapshot.deployments[name]
                    if wrong & 1 << deployment.index:
                        hops = f"app {app.id} → {alias} → {' → on error → '.join(tries[: i + 1])}"
                        broken.append(_path(hops, deployment, goal, use, now=now))
    return Proof(sentence=text, at=at, broken=tuple(dict.fromkeys(broken)), paths=paths)


class Reaches:
    """What apps reach under one snapshot at one instant, worked out once for many sentences.

    Apps that the same rules are for share their answers; there are far fewer kinds of apps than apps.
    """

    def __init__(self, snapshot: Snapshot, *, now: int) -> None:
        self._snapshot = snapshot
        self._now = now
        self._kinds: dict[tuple[str, str], int] = {}  # (app, use) → its kind
        self._known: dict[tuple[int, ...], int] = {}  # the scopes that match → a kind
        self._masks: dict[tuple[int, frozenset[str]], int] = {}
        self._tried: dict[str, int] = {}
        self._routes = {
            alias: (sum({1 << snapshot.deployments[name].index for name in route.tries}), len(route.tries))
            for alias, route in snapshot.routes.items()
        }

    def of(self, app: App, use: str, labels: frozenset[str]) -> int:
        """Return what :func:`widest` returns."""
        key = (self.kind(app, use), labels)
        mask = self._masks.get(key)
        if mask is None:
            mask = self._masks[key] = widest(app, use, labels, self._snapshot, now=self._now)
        return mask

    def tried(self, app: App) -> int:
        """Return every deployment that an app's aliases may try, first or after errors."""
        mask = self._tried.get(app.id)
        if mask is None:
            mask = 0
            for alias in app.models:
                mask |= self._routes[alias][0]
            self._tried[app.id] = mask
        return mask

    def hops(self, app: App) -> int:
        """Return how many tries the aliases of an app have together."""
        return sum(self._routes[alias][1] for alias in app.models)

    def kind(self, app: App, use: str) -> int:
        """Return a number that apps share to whom the same rules and exceptions apply in a use."""
        kind = self._kinds.get((app.id, use))
        if kind is None:
            subject = anybody(app, use, frozenset())
            tenant = self._snapshot.tenant
            matches = [USES.index(use)]
            for number, rule in enumerate(self._snapshot.rules.rules):
                if in_scope(rule.scope, subject, app, tenant, doubt=rule.allow):
                    matches.append(number)
                matches += [
                    -1 - i
                    for i, exemption in enumerate(rule.exemptions)
                    if in_scope(exemption.scope, subject, app, tenant, doubt=True)
                ]
                matches.append(-1_000_000)  # ends this rule's exemptions
            kind = self._known.setdefault(tuple(matches), len(self._known))
            self._kinds[app.id, use] = kind
        return kind


def _leaks(sink: Sink, test: Test) -> bool:
    """Whether a sentence is about what this sink does, and its place is not inside; unknown is not."""
    if not isinstance(test, PlaceTest) or test.fact not in sink.does:
        return False
    place: Places | None = frozenset({sink.place}) if sink.place is not None else None
    return not inside(place, test.allowed)


def _kept(sink: Sink, app: App, use: str, labels: frozenset[str], snapshot: Snapshot) -> bool:
    """Whether calls with these labels get as far as this sink: ``log_in`` may refuse them before."""
    subject = anybody(app, use, labels)
    for rule in snapshot.rules.rules:
        log_in = rule.do.log_in
        if (
            log_in is not None
            and not rule.shadow
            and (rule.data is None or not rule.data.isdisjoint(labels))
            and in_scope(rule.scope, subject, app, snapshot.tenant, doubt=False)
            and not inside(frozenset({sink.place}) if sink.place is not None else None, log_in)
        ):
            return False
    return True


def _sink_path(sink: Sink, app: App, goal: Goal) -> str:
    allowed = goal.test.shown if isinstance(goal.test, PlaceTest) else ""
    place = sink.place or "unknown"
    return (
        f"{goal.label} data, app {app.id} → {sink.says}: {sink.kind.value} must be inside {allowed}; "
        f"is {place} ({sink.at})"
    )


def label_set(app: App, label: str, rules: CompiledRules) -> frozenset[str] | None:
    """Return the fewest labels with which an app's call may carry this one; ``None``: it cannot."""
    wanted = rules.labels[label]
    base = closed(rules, app.data)
    sources = [one for one in rules.labels.values() if label in one.closure]
    set_by_claim = any(one.claims for one in sources)
    if not app.data and not set_by_claim and rules.treat_as is not None:
        base |= closed(rules, (rules.treat_as,))
    can_carry = label in base or any(one.by_header or one.claims or one.kinds for one in sources)
    return base | wanted.closure if can_carry else None


def anybody(app: App, use: str, labels: frozenset[str]) -> Subject:
    """Return a subject of which all is unknown that may be."""
    return Subject(
        app=app.id,
        use=use,
        place=None,
        claims=(),
        purpose=app.purpose,
        features=frozenset(),
        model="",
        labels=labels,
    )


def widest(app: App, use: str, labels: frozenset[str], snapshot: Snapshot, *, now: int) -> int:
    """Return every deployment that some call of an app with at least these labels could reach."""
    rules = snapshot.rules
    subject = anybody(app, use, labels)
    mask = rules.alive.at(now) & rules.uses.get(use, 0)
    allowed = False
    for rule in rules.rules:
        if rule.data is not None and rule.data.isdisjoint(labels):
            continue
        if not in_scope(rule.scope, subject, app, snapshot.tenant, doubt=rule.allow):
            continue
        allowed = allowed or (rule.allow and not rule.shadow)
        if rule.passes is None or not rule.refuses:
            continue
        passing = by_use(rule.passes, use).at(now)
        for exemption in rule.exemptions:
            if (
                now < exemption.until
                and (exemption.data is None or labels <= exemption.data)
                and in_scope(exemption.scope, subject, app, snapshot.tenant, doubt=True)
            ):
                passing |= by_use(exemption.passes, use).at(now)
        mask &= passing
    return mask if allowed else 0


def _path(hops: str, deployment: Deployment, goal: Goal, use: str, *, now: int) -> str:
    """Return a counterexample as a sentence with the line of the fact."""
    file, _, line = deployment.at.rpartition(":")
    where = f"{file}:{deployment.lines.get(fact_of(goal.test), line)}"
    return f"{goal.label} data, {hops}: {sentence(goal.test, deployment, use, now)} ({where})"
