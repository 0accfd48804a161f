"""What a change of policy lets out, and what it stops: sentences between two snapshots.

An egress is one label of one app reaching one destination: a deployment with all that decides
where its bytes go (facts of place, vendor, connection). Whatever may be unknown of a caller is
taken as the caller would like it, as in :mod:`gateway.policy.prove`, so that what is not listed
cannot happen. A change *widens* if it adds, prolongs or moves an egress, or lifts a duty, a
label's source or a safeguard; then two people approve it. Doubt widens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Literal

from typing_extensions import override

from gateway.core.decide import by_use, closed, in_scope
from gateway.core.explain import duties
from gateway.core.must import shown
from gateway.core.places import Places, inside
from gateway.core.rules import FOREVER, NEVER, NOTHING_TO_DO, Exemption, Lapsing, Obligations, Rule, merge
from gateway.core.snapshot import App, Deployment, Snapshot
from gateway.policy.prove import Reaches, anybody, label_set
from gateway.policy.schema import USES

Kind = Literal["adds", "extends", "moves", "lifts", "removes"]

PLACES = ("processed_in", "stored_in", "vendor_logs_in", "staff_access_from", "tls_ends_in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change as a sentence; ``at`` is the file:line that it comes from."""

    kind: Kind
    says: str
    at: str

    @override
    def __str__(self) -> str:
        """Return ``adds     client data of app teller → demo-us in US, by chat-pro (routes.yaml:7)``."""
        return f"{self.kind:<8} {self.says}" + (f" ({self.at})" if self.at else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Every change between two snapshots, widening ones first."""

    changes: tuple[Change, ...]

    @property
    def widens(self) -> bool:
        """Whether anything may leave that could not before."""
        return any(change.kind != "removes" for change in self.changes)

    @override
    def __str__(self) -> str:
        """Return the changes and how many people approve them."""
        if not self.changes:
            return "no egress is added or removed; 1 approver"
        people = "2 approvers" if self.widens else "1 approver"
        lines = [str(change) for change in self.changes]
        word = "widens" if self.widens else "only narrows"
        return "\n".join([*lines, f"this change {word}: {people}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One egress and until when it stays open."""

    until: int
    uses: frozenset[str]
    aliases: tuple[str, ...]


Key = tuple[str, str, str]  # app, label, deployment


def difference(old: Snapshot, new: Snapshot, *, now: int) -> Difference:
    """Return what changes from one snapshot to another at an instant (ns) and after it."""
    before, after = egress(old, now=now), egress(new, now=now)
    changes = [
        *_reached(before, after, new, now),
        *_moved(before, after, old, new),
        *_lifted_duties(old, new, after),
        *_lifted_labels(old, new),
        *_safeguards(old, new),
        *_watched(old, new),
        *_exceptions(old, new, now),
        *_conditional(old, new, now),
        *_removed(before, after, old),
    ]
    return Difference(changes=tuple(changes))


def egress(snapshot: Snapshot, *, now: int) -> dict[Key, Reach]:
    """Return every egress that a snapshot permits at an instant, and until when it goes on permitting it."""
    reaches = Reaches(snapshot, now=now)
    names = {deployment.index: name for name, deployment in snapshot.deployments.items()}
    ends: dict[int, dict[int, int]] = {}
    tables: dict[tuple[int, frozenset[str]], _Tables] = {}
    found: dict[Key, Reach] = {}
    for app in snapshot.apps.values():
        tried = reaches.tried(app)
        aliases = _aliases(app, snapshot)
        for label in sorted(snapshot.rules.labels):
            labels = label_set(app, label, snapshot.rules)
            for use in USES if labels is not None else ():
                assert labels is not None  # noqa: S101 (the line above says so; the checker does not see it)
                mask = reaches.of(app, use, labels) & tried
                if not mask:
                    continue
                kind = (reaches.kind(app, use), labels)
                if kind not in tables:
                    tables[kind] = _tables(app, use, labels, snapshot, ends=ends)
                if tables[kind].asks:
                    continue
                for index in _bits(mask):
                    key = (app.id, label, names[index])
                    known = found.get(key)
                    until = tables[kind].until(index)
                    found[key] = Reach(
                        until=until if known is None else max(until, known.until),
                        uses=frozenset({use}) | (known.uses if known else frozenset()),
                        aliases=aliases[index],
                    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """What decides how long calls of one kind, with some labels, may go somewhere."""

    asks: bool  # somebody must be asked first, for certain: nothing leaves by itself
    each: tuple[tuple[Mapping[int, int], ...], ...]  # of each rule: its own ends and its exceptions'

    def until(self, index: int) -> int:
        """Return the instant at which a deployment drops out."""
        return min(max(table.get(index, NEVER) for table in ways) for ways in self.each)


def _tables(
    app: App, use: str, labels: frozenset[str], snapshot: Snapshot, *, ends: dict[int, dict[int, int]]
) -> _Tables:
    rules = snapshot.rules
    subject = anybody(app, use, labels)
    each: list[tuple[Mapping[int, int], ...]] = [(_ends(rules.alive, ends),)]
    for rule in rules.rules:
        if rule.data is not None and rule.data.isdisjoint(labels):
            continue
        if not in_scope(rule.scope, subject, app, snapshot.tenant, doubt=rule.allow):
            continue
        if (
            rule.do.ask
            and not rule.shadow
            and in_scope(rule.scope, subject, app, snapshot.tenant, doubt=False)
        ):
            return _Tables(asks=True, each=())
        if rule.passes is None or not rule.refuses:
            continue
        ways = [_ends(by_use(rule.passes, use), ends)]
        ways += [
            {index: min(end, one.until) for index, end in _ends(by_use(one.passes, use), ends).items()}
            for one in rule.exemptions
            if (one.data is None or labels <= one.data)
            and in_scope(one.scope, subject, app, snapshot.tenant, doubt=True)
        ]
        each.append(tuple(ways))
    return _Tables(asks=False, each=tuple(each))


def _aliases(app: App, snapshot: Snapshot) -> dict[int, tuple[str, ...]]:
    """Return the aliases by which an app may try each deployment, first or after errors."""
    found: dict[int, list[str]] = {}
    for alias in app.models:
        for name in snapshot.routes[alias].tries:
            found.setdefault(snapshot.deployments[name].index, []).append(alias)
    return {index: tuple(dict.fromkeys(aliases)) for index, aliases in found.items()}


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _ends(table: Lapsing, known: dict[int, dict[int, int]]) -> Mapping[int, int]:
    """Return the instant at which each deployment drops out of a table."""
    found = known.get(id(table))
    if found is None:
        found = {}
        for i, mask in enumerate(table.masks):
            end = table.times[i] if i < len(table.times) else FOREVER
            found |= dict.fromkeys(_bits(mask), end)
        known[id(table)] = found
    return found


def _name(snapshot: Snapshot, index: int) -> str:
    names: dict[int, str] | None = None
    known = snapshot.memo.get(("diff", "names"))
    if isinstance(known, dict):
        names = known
    if names is None:
        names = {deployment.index: name for name, deployment in snapshot.deployments.items()}
        snapshot.memo["diff", "names"] = names
    return names[index]


# ------------------------------------------------------------------- sentences


def _reached(
    before: Mapping[Key, Reach], after: Mapping[Key, Reach], new: Snapshot, now: int
) -> Iterator[Change]:
    for key, reach in sorted(after.items()):
        app, label, name = key
        known = before.get(key)
        deployment = new.deployments[name]
        if known is None or reach.uses - known.uses:
            uses = reach.uses - (known.uses if known else frozenset())
            word = "" if known is None and uses >= {"chat"} else f" for {_and(uses)}"
            says = f"{label} data of app {app} → {_where(deployment)}{word}, by {_and(reach.aliases)}"
            yield Change(kind="adds", says=says, at=deployment.at)
        elif reach.until > max(known.until, now):
            says = (
                f"{label} data of app {app} → {_where(deployment)} {_day(known.until)} → {_day(reach.until)}"
            )
            yield Change(kind="extends", says=says, at=deployment.at)


def _removed(before: Mapping[Key, Reach], after: Mapping[Key, Reach], old: Snapshot) -> Iterator[Change]:
    for key, reach in sorted(before.items()):
        app, label, name = key
        known = after.get(key)
        if known is None or reach.uses - known.uses:
            uses = reach.uses - (known.uses if known else frozenset())
            word = "" if known is None else f" for {_and(uses)}"
            says = f"{label} data of app {app} → {_where(old.deployments[name])}{word}"
            yield Change(kind="removes", says=says, at="")
        elif known.until < reach.until:
            says = f"{label} data of app {app} → {_where(old.deployments[name])} {_day(known.until)}"
            yield Change(kind="removes", says=says, at="")


def _moved(
    before: Mapping[Key, Reach], after: Mapping[Key, Reach], old: Snapshot, new: Snapshot
) -> Iterator[Change]:
    """Yield the destinations that keep their name and become another place, vendor or address."""
    reached = {name for _, _, name in before} & {name for _, _, name in after}
    for name in sorted(reached):
        was, is_ = old.deployments[name], new.deployments[name]
        for fact in PLACES:
            one, two = _codes(was, fact), _codes(is_, fact)
            if one != two and (one is None or not inside(two, one)) and one is not None:
                says = f"{name}: {fact} was {shown(one)}, becomes {shown(two)}"
                yield Change(kind="moves", says=says, at=_line(is_, fact))
        for fact in ("vendor", "operator", "parent_home", "trains_on_data", "human_review"):
            if (one := getattr(was, fact)) != (two := getattr(is_, fact)) and two != "never":
                says = f"{name}: {fact} was {shown(one)}, becomes {shown(two)}"
                yield Change(kind="moves", says=says, at=_line(is_, fact))
        kept, keeps = was.keeps_content_days, is_.keeps_content_days
        if kept is not None and (keeps is None or keeps > kept):
            says = f"{name}: content was kept {kept} days, becomes {shown(keeps)}"
            yield Change(kind="moves", says=says, at=_line(is_, "keeps_content_days"))
        if more := is_.covers - was.covers:
            says = f"{name} may be asked for {_and(more)}"
            yield Change(kind="adds", says=says, at=_line(is_, "covers"))
        if _address(old, name) != _address(new, name):
            # The address itself is no text of ours: who may read the file sees it there.
            at = new.connections[name].at if name in new.connections else is_.at
            yield Change(kind="moves", says=f"{name} is reached in another way", at=at)


def _address(snapshot: Snapshot, name: str) -> str:
    """Return a digest of how a deployment is reached; never the address."""
    one = snapshot.connections.get(name)
    if one is None:
        return ""
    parts = (one.api, one.url, one.model, one.secret, sorted(one.options.items()), one.ca_bundle)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _lifted_duties(old: Snapshot, new: Snapshot, reached: Mapping[Key, Reach]) -> Iterator[Change]:
    """Yield what had to be done with an app's data and need no longer be, where any still leaves."""
    leaves = {(app, label, use) for (app, label, _), reach in reached.items() for use in reach.uses}
    if _written_duties(old) == _written_duties(new):
        return
    for app in new.apps.values():
        was = old.apps.get(app.id)
        if was is None:
            continue
        for label in sorted(old.rules.labels.keys() & new.rules.labels.keys()):
            before, after = label_set(was, label, old.rules), label_set(app, label, new.rules)
            if before is None or after is None:
                continue
            lifted: set[str] = set()
            for use, doubt in product(USES, (False, True)):
                if (app.id, label, use) not in leaves:
                    continue
                had = _duties(was, use, before, old, doubt=doubt)
                has = _duties(app, use, after, new, doubt=doubt)
                if merge((had, has)) != merge((has,)):
                    lifted |= set(duties(had)) - set(duties(has))
            if lifted:
                says = f"{label} data of app {app.id} need no longer: {'; '.join(sorted(lifted))}"
                yield Change(kind="lifts", says=says, at=app.at)


def _written_duties(snapshot: Snapshot) -> tuple[object, ...]:
    """Return all that duties follow from: where it is the same, none is lifted."""
    rules = [
        (rule.id, rule.scope, rule.data, rule.shadow, rule.do)
        for rule in snapshot.rules.rules
        if rule.do != NOTHING_TO_DO
    ]
    apps = [(app.id, app.data, app.groups, app.team, app.purpose) for app in snapshot.apps.values()]
    labels = [(name, label.closure) for name, label in snapshot.rules.labels.items()]
    return (rules, apps, labels, snapshot.rules.treat_as, snapshot.tenant)


def _duties(app: App, use: str, labels: frozenset[str], snapshot: Snapshot, *, doubt: bool) -> Obligations:
    subject = anybody(app, use, labels)
    return merge(
        rule.do
        for rule in snapshot.rules.rules
        if not rule.shadow
        and rule.do != NOTHING_TO_DO
        and (rule.data is None or not rule.data.isdisjoint(labels))
        and in_scope(rule.scope, subject, app, snapshot.tenant, doubt=doubt)
    )


def _lifted_labels(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Yield the labels that are found by less, or are less, than they were."""
    for name, was in sorted(old.rules.labels.items()):
        now = new.rules.labels.get(name)
        if now is None:
            if was.kinds or was.claims:
                yield Change(kind="lifts", says=f"nothing finds {name} data any more", at="")
            continue
        lost = [f"detector:{kind}" for kind in sorted(was.kinds - now.kinds)]
        lost += [f"{key}={value}" for key, value in was.claims if (key, value) not in now.claims]
        if lost:
            yield Change(kind="lifts", says=f"{name} data is no longer found by {_and(lost)}", at=now.at)
        if above := was.closure - now.closure:
            yield Change(kind="lifts", says=f"{name} data is no longer {_and(above)}", at=now.at)
    for app in new.apps.values():
        was_app = old.apps.get(app.id)
        if was_app is None:
            continue
        lost = sorted(closed(old.rules, was_app.data) - closed(new.rules, app.data))
        if lost:
            says = f"calls of app {app.id} are no longer {_and(lost)} by registration"
            yield Change(kind="lifts", says=says, at=app.at)


def _safeguards(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    was, now = old.rules.treat_as, new.rules.treat_as
    if was != now and was is not None and not (now and was in closed(new.rules, (now,))):
        says = f"what nobody labelled counted as {was}, becomes {now or 'unlabelled'}"
        yield Change(kind="lifts", says=says, at="")
    for control, mode in sorted(new.degraded_modes.items()):
        if mode != "refuse" and old.degraded_modes.get(control, "refuse") != mode:
            says = f"when {control} are down, calls: {mode}"
            yield Change(kind="lifts", says=says, at="")


def _watched(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Yield where no content goes but a request does, and did not: counters of engines, alerts."""
    told = {receiver.way.url for receiver in old.alerts.receivers.values()}
    for receiver in new.alerts.receivers.values():
        if receiver.way.url not in told:
            says = f"alerts are sent to {receiver.name}, at {receiver.way.url} in {receiver.place}"
            yield Change(kind="adds", says=says, at=receiver.at)
    known = {replica.metrics_url for pool in old.pools.values() for replica in pool.replicas}
    for pool in new.pools.values():
        for replica in pool.replicas:
            if replica.metrics_url is not None and replica.metrics_url not in known:
                says = f"the counters of {pool.id}/{replica.name} are read at {replica.metrics_url}"
                yield Change(kind="adds", says=says, at=pool.at)


def _exceptions(old: Snapshot, new: Snapshot, now: int) -> Iterator[Change]:
    """Yield the exceptions that were not there before, or not so wide, or not so long."""
    known = {_exception(rule.id, one, old) for rule in old.rules.rules for one in rule.exemptions}
    for rule in new.rules.rules:
        for one in rule.exemptions:
            if one.until > now and _exception(rule.id, one, new) not in known:
                says = f"an exception to {rule.id}, owned by {one.owner}, until {one.until_day}"
                yield Change(kind="lifts", says=says, at=one.at)


def _exception(rule: str, one: Exemption, snapshot: Snapshot) -> tuple[object, ...]:
    tables = tuple(sorted((use, _named(table, snapshot)) for use, table in one.passes.items()))
    return (rule, one.scope, one.data, one.until, tables)


def _named(table: Lapsing, snapshot: Snapshot) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((_name(snapshot, index), end) for index, end in _ends(table, {}).items()))


def _conditional(old: Snapshot, new: Snapshot, now: int) -> Iterator[Change]:
    """Yield changes of rules that look at what is only known of a call: doubt widens.

    Purpose, group, the caller's place and ``only_if`` are not enumerated above, where a caller is
    taken as they would like to be; so such a rule may not change unseen. One that is new and
    allows nothing only narrows.
    """
    before = {rule.id: rule for rule in old.rules.rules}
    after = {rule.id: rule for rule in new.rules.rules}
    guarded = any(rule.allow and _looks_at(rule) for rule in old.rules.rules)
    for rule in new.rules.rules:
        was = before.get(rule.id)
        looks = _looks_at(rule) or (_looks_at(was) if was is not None else "")
        if rule.allow and not rule.shadow and (guarded or looks) and _written(rule) != _written(was):
            says = f"the rule {rule.id} allows otherwise than before, which depends on {looks or 'the call'}"
            yield Change(kind="lifts", says=says, at=rule.at)
        elif was is not None and looks and not rule.allow and _written(rule) != _written(was):
            says = f"the rule {rule.id} restricts otherwise than before, which depends on {looks}"
            yield Change(kind="lifts", says=says, at=rule.at)
        elif was is not None and looks and rule.refuses:
            yield from _passing(was, rule, old, new, now)
    for rule in old.rules.rules:
        looks = _looks_at(rule)
        if rule.id not in after and looks and not rule.allow and not rule.shadow:
            yield Change(kind="lifts", says=f"the rule {rule.id} is gone, which looked at {looks}", at="")


def _passing(was: Rule, rule: Rule, old: Snapshot, new: Snapshot, now: int) -> Iterator[Change]:
    """Yield deployments that pass an unchanged rule since their facts changed."""
    for use, table in sorted((rule.passes or {}).items()):
        earlier = dict(_named((was.passes or {})[use], old)) if use in (was.passes or {}) else {}
        for name, end in _named(table, new):
            if end > max(earlier.get(name, NEVER), now):
                says = f"{name} passes {rule.id}, which depends on {_looks_at(rule)}"
                yield Change(kind="adds", says=says, at=new.deployments[name].at)


def _looks_at(rule: Rule) -> str:
    """Return what a rule looks at that only a call knows, in words; nothing for most rules."""
    found: list[str] = []
    for scope in (rule.scope, *(one.scope for one in rule.exemptions)):
        found += ["purpose"] if scope.purposes is not None else []
        found += ["group"] if scope.groups is not None else []
        found += ["the caller's place"] if scope.caller_in is not None else []
    found += ["the caller's place"] if rule.caller_must_be_in is not None else []
    found += ["its only_if"] if rule.only_if is not None else []
    return " and ".join(dict.fromkeys(found))


def _written(rule: Rule | None) -> tuple[object, ...] | None:
    """Return all that a rule says to the machine, deployments and exceptions apart."""
    if rule is None:
        return None
    return (
        rule.scope,
        rule.data,
        rule.allow,
        rule.strength,
        rule.shadow,
        rule.must,
        rule.caller_must_be_in,
        rule.do,
        rule.only_if_shown,
    )


def _codes(deployment: Deployment, fact: str) -> Places | None:
    value: Places | None = getattr(deployment, fact)
    return value


def _where(deployment: Deployment) -> str:
    return f"{deployment.id} in {deployment.place or 'an unknown place'}"


def _line(deployment: Deployment, fact: str) -> str:
    file, _, line = deployment.at.rpartition(":")
    return f"{file}:{deployment.lines.get(fact, line)}"


def _day(until: int) -> str:
    if until == FOREVER:
        return "for good"
    day = datetime.fromtimestamp((until - 1) // 1_000_000_000, UTC)
    return f"until {day:%Y-%m-%d}"


def _and(words: Iterable[str]) -> str:
    names = list(words) if isinstance(words, (list, tuple)) else sorted(words)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
