"""The compiled rules: what a bundle's sentences become, as tables of bits.

Bit ``i`` of a mask stands for the deployment with ``index`` ``i``. Facts only lapse, so a set
of deployments that passes a rule only shrinks with time: :class:`Lapsing` holds that set as
masks between instants, and no decision ever recompiles. Only data lives here;
:mod:`gateway.core.must` evaluates tests, :mod:`gateway.core.decide` combines masks, and
:mod:`gateway.policy.compile` makes all of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gateway.core.places import Places, contains
from gateway.core.values import Label as CallLabel

NEVER = 0
FOREVER = 2**63 - 1

UNLABELLED = "unlabelled"
"""The label of a call on which nothing that may speak for it has put one."""

UNKNOWN = "unknown"
"""The label of a call that names a kind of data which no policy knows. Nothing permits it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapsing:
    """A set of deployments that only shrinks: ``masks[i]`` holds before ``times[i]``."""

    times: tuple[int, ...]
    masks: tuple[int, ...]  # one more than times

    def at(self, now: int) -> int:
        """Return the mask at an instant; a fact that ends at ``now`` has ended."""
        return self.masks[bisect_right(self.times, now)]

    @classmethod
    def of(cls, untils: Iterable[tuple[int, int]]) -> Lapsing:
        """Build from pairs of (deployment index, instant until which it belongs)."""
        ends: dict[int, int] = {}
        mask = 0
        for index, until in untils:
            if until != NEVER:
                mask |= 1 << index
                if until != FOREVER:
                    ends[until] = ends.get(until, 0) | 1 << index
        times = tuple(sorted(ends))
        masks = [mask]
        for time in times:
            mask &= ~ends[time]
            masks.append(mask)
        return cls(times=times, masks=tuple(masks))


# ---------------------------------------------------------------------- tests


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceTest:
    """Every place of a fact lies inside the allowed places. ``shown`` is how people call them."""

    fact: str
    allowed: Places
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTest:
    """A fact is one of the values; a fact that is a list has only such values."""

    fact: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundTest:
    """A number is at most, or at least, so much."""

    fact: str
    at_most: int | None = None
    at_least: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTest:
    """A dated document is on file and has not ended."""

    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UseTest:
    """A fact that lists uses names the use of this very call."""

    fact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RungTest:
    """A fact is known at least so well; ``rungs`` are those that will do."""

    fact: str
    rungs: frozenset[str]
    shown: str


Test = PlaceTest | ValueTest | BoundTest | DocumentTest | UseTest | RungTest

RUNGS = ("declared", "page", "contract", "probe", "response")
"""How well a fact is known: said, read on a page, in a contract on file, probed, checked in replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """All tests hold; ``or_has`` documents stand in for failing *place* tests, and no others."""

    tests: tuple[Test, ...]
    or_has: tuple[str, ...] = ()

    @property
    def by_use(self) -> bool:
        """Whether the outcome depends on the use of the call."""
        return any(isinstance(test, UseTest) for test in self.tests)


# ---------------------------------------------------------------- obligations


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligations:
    """What must be done with a call, merged over every rule that matches: the strictest wins.

    Kinds are those of findings. A kind is in one of ``block``, ``tokenise``, ``mask``, ``hash`` and
    ``report`` only, the strictest, in this order; ``preserving`` are the tokenised kinds whose
    tokens keep the value's format. ``answer_tokens`` is the most output tokens; ``log_in`` the
    places in which the call may be logged (``None``: anywhere); days are of the call's own record.
    """

    mask: frozenset[str] = frozenset()
    tokenise: frozenset[str] = frozenset()
    block: frozenset[str] = frozenset()
    answer_tokens: int | None = None
    log_in: Places | None = None
    forbid_tools: frozenset[str] = frozenset()
    no_store: bool = False
    keep_log_days_at_least: int | None = None
    keep_log_days_at_most: int | None = None
    cache_scope: str | None = None
    marks: frozenset[str] = frozenset()
    disclose_ai: bool = False
    ask: tuple[str, ...] = ()
    hash: frozenset[str] = frozenset()
    report: frozenset[str] = frozenset()
    preserving: frozenset[str] = frozenset()

    @property
    def kinds(self) -> frozenset[str]:
        """Every kind of finding that something is to be done about."""
        return self.block | self.tokenise | self.mask | self.hash | self.report


NOTHING_TO_DO = Obligations()

CACHE_SCOPES = ("none", "call", "conversation", "user", "app", "team", "tenant")
"""From the strictest to the widest."""


def _least(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def _most(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


def merge(all_of: Iterable[Obligations]) -> Obligations:
    """Merge obligations into the strictest; the order does not matter."""
    todo = list(all_of)
    if not todo:
        return NOTHING_TO_DO
    block = frozenset[str]().union(*(o.block for o in todo))
    tokenise = frozenset[str]().union(*(o.tokenise for o in todo))
    mask = frozenset[str]().union(*(o.mask for o in todo))
    hashed = frozenset[str]().union(*(o.hash for o in todo))
    report = frozenset[str]().union(*(o.report for o in todo))
    answer = least = most = scope = None
    log_in: Places | None = None
    for one in todo:
        answer = _least(answer, one.answer_tokens)
        least = _most(least, one.keep_log_days_at_least)
        most = _least(most, one.keep_log_days_at_most)
        if one.log_in is not None:
            log_in = one.log_in if log_in is None else both(log_in, one.log_in)
        if one.cache_scope is not None:
            scope = one.cache_scope if scope is None else min(scope, one.cache_scope, key=CACHE_SCOPES.index)
    return Obligations(
        block=block,
        tokenise=tokenise - block,
        mask=mask - tokenise - block,
        answer_tokens=answer,
        log_in=log_in,
        forbid_tools=frozenset[str]().union(*(o.forbid_tools for o in todo)),
        no_store=any(o.no_store for o in todo),
        keep_log_days_at_least=least,
        keep_log_days_at_most=most,
        cache_scope=scope,
        marks=frozenset[str]().union(*(o.marks for o in todo)),
        disclose_ai=any(o.disclose_ai for o in todo),
        ask=tuple(sorted({name for o in todo for name in o.ask})),
        hash=hashed - mask - tokenise - block,
        report=report - hashed - mask - tokenise - block,
        # A typed token says no more than the kind: it is the stricter form, and wins.
        preserving=_preserving(todo) & (tokenise - block),
    )


def _preserving(todo: Iterable[Obligations]) -> frozenset[str]:
    typed = frozenset[str]().union(*(o.tokenise - o.preserving for o in todo))
    return frozenset[str]().union(*(o.preserving for o in todo)) - typed


def both(a: Places, b: Places) -> Places:
    """Return the places that lie inside both sets."""
    return frozenset({code for code in a if contains(b, code)} | {code for code in b if contains(a, code)})


# ---------------------------------------------------------------------- rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which callers and uses a rule is for; ``None`` is any. Data kinds stand apart.

    ``purposes``, ``groups`` and ``caller_in`` look at what may be unknown of a call: unknown
    matches a rule that restricts and does not match one that allows.
    """

    apps: frozenset[str] | None = None  # app ids and groups of apps
    teams: frozenset[str] | None = None
    tenants: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    uses: frozenset[str] | None = None
    caller_in: Places | None = None
    within: Scope | None = None  # the layer that the rule stands in: both must match


Condition = Callable[["Subject"], bool]
"""A further condition on what a rule allows. Pure; never raises; doubt is False."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """An exception to a rule: which deployments it lets pass, for whom and for which data.

    INVARIANT: it applies only if *every* label of a call is named in ``data``, or lies below a
    name there; so a further label can only take it away.
    """

    scope: Scope
    data: frozenset[str] | None  # closed downwards: every label that is_also one named
    passes: Mapping[str, Lapsing]  # by use; "" is every other use
    owner: str
    until: int
    until_day: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One compiled rule. ``passes`` holds what passes its ``must`` (``None``: no ``must``)."""

    id: str
    says: str
    scope: Scope
    data: frozenset[str] | None  # labels, any of which makes it match; None is any data
    allow: bool
    strength: str  # hard | exception | warn
    shadow: bool
    must: Must | None
    passes: Mapping[str, Lapsing] | None  # by use; "" is every other use
    caller_must_be_in: Places | None
    caller_shown: str
    do: Obligations
    exemptions: tuple[Exemption, ...]
    owner: str
    why: tuple[str, ...]
    at: str
    # INVARIANT: it takes away what the rule allows and touches nothing else, so it only narrows.
    only_if: Condition | None = field(default=None, compare=False, repr=False)
    only_if_shown: str = ""
    unit: str = ""  # the layer that it stands in; "" is the organisation's policy

    @property
    def refuses(self) -> bool:
        """Whether failing it refuses a deployment."""
        return not self.shadow and self.strength != "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A kind of data: what it also is, who may set it, and what it stands for when nothing did."""

    name: str
    closure: frozenset[str]  # itself and everything that it is also
    by_app: bool
    by_header: bool
    kinds: frozenset[str]  # findings that set it
    claims: tuple[tuple[str, str], ...]  # verified claims that set it
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """All of a call that a decision looks at. ``labels`` are names, closed upwards."""

    app: str
    use: str
    place: str | None
    claims: tuple[tuple[str, str], ...]
    purpose: str | None
    features: frozenset[str]
    model: str
    labels: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome for a subject between two lapses; the memo's value."""

    mask: int  # every deployment that would do, candidate or not
    permitted: tuple[str, ...]
    candidates: tuple[str, ...]
    obligations: Obligations
    rules: tuple[str, ...]
    warnings: tuple[str, ...]
    subject: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRules:
    """The tables of one snapshot.

    ``memo`` keeps verdicts by subject and by era (the stretch between two ``instants``), and
    ``label_memo`` labels by what set them. They change how long a decision takes, never what it
    is; each is bounded and dropped whole.
    """

    rules: tuple[Rule, ...]
    labels: Mapping[str, Label]
    treat_as: str | None  # the label of what is unlabelled
    alive: Lapsing  # facts that are not stale
    uses: Mapping[str, int]  # use → deployments whose facts name it
    covers: Mapping[str, int]  # request feature → deployments whose facts cover it
    instants: tuple[int, ...]  # every lapse, ordered
    memo: dict[object, Verdict] = field(default_factory=dict, compare=False, repr=False)
    label_memo: dict[object, tuple[CallLabel, ...]] = field(default_factory=dict, compare=False, repr=False)
