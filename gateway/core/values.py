"""The vocabulary of the spine: one frozen type per stage.

``Call → LabelledCall → ClearedCall → Attempt``. Each type can only be made from
the one before it, by the step that owns it, so that skipping classification,
redaction, the hold or the clearance is a type error:

* :class:`LabelledCall` is made by :mod:`gateway.core.classify`,
* :class:`ClearedCall` only by :mod:`gateway.core.redact`,
* :class:`Attempt` only by :mod:`gateway.core.clear`.

Instants are integers: nanoseconds since the Unix epoch, UTC. Amounts are
integers in the unit that the field names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from gateway.core.frozen import quick

if TYPE_CHECKING:
    from gateway.core.decide import Decision
    from gateway.core.snapshot import Connection, Deployment, Snapshot

Body = Mapping[str, object]
"""A JSON object as parsed."""

Path = tuple[str | int, ...]
"""The way to one leaf: keys and indices from the root of a body. A leaf inside a
JSON string (tool arguments) continues below the marker ``"~json"``."""


class Surface(StrEnum):
    """An API surface that apps call."""

    CHAT = "chat"  # POST /v1/chat/completions
    EMBEDDINGS = "embeddings"  # POST /v1/embeddings
    RESPONSES = "responses"  # POST /v1/responses
    MESSAGES = "messages"  # POST /v1/messages
    COUNT_TOKENS = "count_tokens"  # POST /v1/messages/count_tokens


class Dialect(StrEnum):
    """The shape in which an upstream is spoken to."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, as established by the key and verified claims, never by a header."""

    tenant: str
    team: str
    app: str
    key_id: str
    user: str | None = None
    place: str | None = None
    claims: tuple[tuple[str, str], ...] = ()  # verified: ("group", "doctors"), ("tenant.plan", "eu-only")


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One parsed request. ``body`` holds content and is never shown by ``repr``."""

    id: str
    surface: Surface
    caller: Caller
    model: str
    stream: bool
    body: Mapping[str, object] = field(repr=False)
    size: int
    received: int
    header_labels: tuple[str, ...] = ()
    forward_headers: Mapping[str, str] = field(
        default_factory=dict[str, str]
    )  # anthropic-beta, lower-case name
    purpose: str | None = None
    conversation: str | None = None
    features: frozenset[str] = frozenset()
    trace: Mapping[str, str] = field(default_factory=dict[str, str])
    instead_of: str | None = None  # the model that the app named, where a cheaper one stands in for it


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A kind of data on a call, and who set it (``app teller``, ``header``, ``detector:sin``)."""

    name: str
    set_by: str


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A find in one text: code points ``start``..``end`` (half-open), score in percent."""

    kind: str
    start: int
    end: int
    score: int
    detector: str


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A span found in one text leaf: code points ``start``..``end`` (half-open)."""

    kind: str
    path: Path
    start: int
    end: int
    score: int  # percent
    detector: str


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledCall:
    """A call with its labels and the findings that detectors made."""

    call: Call
    labels: tuple[Label, ...]
    findings: tuple[Finding, ...] = field(repr=False)

    @property
    def label_names(self) -> frozenset[str]:
        """The names of the labels."""
        return frozenset(label.name for label in self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A reversible token that was given out: what it stands for, and the kind of that."""

    token: str
    kind: str
    value: str = field(repr=False)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ClearedCall:
    """A labelled, decided and redacted call. ``body`` is what may leave.

    ``originals`` maps a reversible token to the text it stands for; ``given`` are those that
    the conversation did not know before; ``masked`` counts what was changed by kind,
    ``reported`` what was found and left. Made by :func:`gateway.core.redact.redact` only.
    """

    labelled: LabelledCall
    decision: Decision
    body: Mapping[str, object] = field(repr=False)
    originals: Mapping[str, str] = field(repr=False)
    masked: Mapping[str, int]
    given: tuple[Given, ...] = field(default=(), repr=False)
    reported: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """How a budget carries over: what its calendar windows are, and how much at most (None: all)."""

    per: str
    timezone: str
    at_most: int | None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """An amount asked of one budget window. ``unit`` is a currency (amount in
    nano-units) or one of :mod:`gateway.core.budget`'s.
    """

    budget: str  # for example "team:branch:CAD"
    window: str  # start of the half-open window, RFC 3339 UTC
    resets: int  # end of the window, instant
    unit: str
    limit: int
    amount: int
    soft: bool = False  # counted, and refuses nothing
    rate: bool = False  # of a minute, or of calls at once: told to no journal
    length: int = 0  # of a rolling budget, ns; 0: it does not roll
    carry: Carry | None = None  # what its window takes over from the one before
    overdraft: int = 0  # what a stream that runs already may take beyond the limit, to finish

    @property
    def base(self) -> int:
        """The declared limit: what the window is worth by itself."""
        return self.limit + min(0, self.overdraft)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An upper bound that is set aside for one attempt, on every level at once."""

    id: str
    wants: tuple[Want, ...]


RARE_INPUT = frozenset({"input_video", "cache_read_audio", "cache_read_image"})
RARE_OUTPUT = frozenset({"output_image"})
"""Token buckets that few calls have: they stand in ``Usage.units``."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Disjoint token buckets of one attempt. ``reasoning`` is a sub-count of ``output``.

    ``input`` excludes cache reads and writes; the sum of the input buckets is the
    vendor's total input. ``units`` holds the buckets that are rare, tokens
    (:data:`RARE_INPUT`, :data:`RARE_OUTPUT`) and other units; none of them is zero.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    input_image: int = 0
    units: tuple[tuple[str, int], ...] = ()  # rarer buckets and what is no token: (("web_search", 2),)
    tier: str = ""  # service tier that the vendor says it served: batch, flex, priority …; "" standard
    place: str = ""  # geography that the vendor says it ran in, where prices depend on it
    estimated: bool = False

    @property
    def total_input(self) -> int:
        """All input tokens, cached ones included."""
        plain = (
            self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h
            + self.input_audio + self.input_image
        )  # fmt: skip
        return plain if not self.units else plain + sum(n for name, n in self.units if name in RARE_INPUT)

    @property
    def total_output(self) -> int:
        """All output tokens."""
        plain = self.output + self.output_audio
        return plain if not self.units else plain + sum(n for name, n in self.units if name in RARE_OUTPUT)

    @property
    def total(self) -> int:
        """All tokens."""
        return self.total_input + self.total_output


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeLine:
    """One meter of a charge. ``unit_price`` is a decimal string per ``per`` units.

    ``list_unit_price`` is what it would be without the contract; None: the same.
    """

    meter: str
    quantity: int
    price_id: str
    unit_price: str
    per: int
    list_unit_price: str | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What an attempt costs in the price's currency, each amount rounded once.

    ``list_nano`` is before any discount, ``contracted_nano`` what the contract would charge
    for what is paid otherwise (free, reserved); None: as ``nano``. ``band`` is the prompt
    length above which these prices hold. ``at_most``: a bound, rounded upward.
    """

    nano: int
    currency: str
    lines: tuple[ChargeLine, ...]
    estimated: bool = False
    list_nano: int | None = None
    contracted_nano: int | None = None
    band: int = 0
    at_most: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One permitted try: a cleared call × one deployment × a hold × the snapshot.

    Made by :func:`gateway.core.clear.clear` only, and the only thing that the
    :class:`~gateway.ports.Upstream` port accepts. ``place`` is where the
    deployment processes, for the record and for the caller's header.
    """

    id: str
    number: int
    cleared: ClearedCall
    deployment: Deployment
    connection: Connection
    hold: Hold
    snapshot: Snapshot = field(repr=False)
    output_cap: int  # the max_tokens sent, per choice; 0 where there is no output
    clamped: bool
    started: int
    timeout_ms: int


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One server-sent event of a reply.

    ``raw`` holds the bytes as received while nothing changed them, blank line
    included; a fold that changes ``data`` drops ``raw``. ``data is None`` marks
    the ``[DONE]`` sentinel.
    """

    name: str | None
    data: dict[str, object] | None
    raw: bytes | None = None
