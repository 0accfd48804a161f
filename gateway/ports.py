"""The ports: what the spine asks of the outside world.

Each Protocol has a real adapter and a shipped in-memory twin in
``gateway/adapters``; both pass the same suite in ``tests/contract``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.errors import Refusal
from gateway.core.frozen import quick
from gateway.core.values import Attempt, Caller, Dialect, Event, Hold, Usage, Want
from gateway.core.values import Span as Span  # noqa: PLC0414 (re-exported: the core makes spans too)


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> int:
        """Return the instant: nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back, for durations."""
        ...


# ------------------------------------------------------------------ detection


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text to scan. ``context`` is the key or column name that it stands under."""

    text: str = field(repr=False)
    context: str | None = None


class DetectorUnavailable(Exception):
    """The detector is down, slow or garbled. The text is to be treated as unlabelled."""


class Detector(Protocol):
    """Finds kinds of data in texts."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that it can find."""
        ...

    @property
    def name(self) -> str:
        """Its name and version, for labels and records."""
        ...

    async def detect(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[list[Span]]:
        """Return the spans of each text, in order. Raises DetectorUnavailable."""
        ...


# ------------------------------------------------------------------ upstreams


class Exchange(Protocol):
    """One open exchange with a vendor, already accepted (2xx)."""

    dialect: Dialect
    vendor_request_id: str | None
    reported_place: str | None  # where the vendor's headers say that it ran

    async def body(self) -> dict[str, object]:
        """Return the whole plain reply. Raises UpstreamFailed."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """Yield the events of a streamed reply, each whole. Raises UpstreamFailed."""
        ...


class Upstream(Protocol):
    """Sends attempts to vendors over the one guarded transport."""

    def open(self, attempt: Attempt) -> AbstractAsyncContextManager[Exchange]:
        """Open the exchange; leaving the context ends it and the vendor's work.

        Raises UpstreamFailed (also for a vendor's error status, identity kept) and
        EgressRefused when the socket-level clearance does not name the destination.
        """
        ...


# -------------------------------------------------------------------- budgets


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one budget window stands. Amounts in the unit; ``held`` includes slices.

    ``limit`` includes ``carried``, what the window took over from the one before.
    """

    budget: str
    window: str
    resets: int
    unit: str
    limit: int
    spent: int
    held: int
    carried: int = 0
    soft: bool = False


class BudgetsUnavailable(Exception):
    """Where budgets stand over all workers cannot be asked: what keeps them is away."""


class Budgets(Protocol):
    """Holds and settles against leased slices: settled + held ≤ limit at every instant."""

    async def reserve(self, hold_id: str, wants: tuple[Want, ...]) -> Hold | Refusal:
        """Hold every amount on every level, or nothing. Idempotent by ``hold_id``."""
        ...

    async def top_up(self, hold: Hold, amounts: Mapping[str, int]) -> Hold | Refusal:
        """Enlarge a hold (budget id → further amount), on every level or not at all."""
        ...

    def settle(self, hold: Hold, actual: Mapping[str, int]) -> None:
        """Turn a hold into spend (budget id → amount); zeros release it. Once only."""
        ...

    async def standing(self, budgets: Sequence[Want]) -> list[Standing]:
        """Return where windows stand over all workers, for refusals and reports.

        Raises BudgetsUnavailable.
        """
        ...

    def left(self, want: Want) -> int | None:
        """Return what is left of a window as far as this worker knows, at once; None if it does not."""
        ...


# ----------------------------------------------------------------- tokenizers


class Tokenizer(Protocol):
    """Counts texts exactly, where the encoding of a model is on board."""

    async def count(self, encoding: str, texts: Sequence[str]) -> int | None:
        """Return the tokens of texts, each by itself; None where they cannot be counted here."""
        ...


# -------------------------------------------------------------------- journal


class JournalUnavailable(Exception):
    """The journal cannot be written: restricted labels fail closed."""


class Journal(Protocol):
    """The tamper-evident journal of this writer."""

    @property
    def writer(self) -> str:
        """The id of this writer: its directory and its epoch."""
        ...

    async def append(self, kind: str, data: Mapping[str, object]) -> int:
        """Append one entry and return its sequence number.

        Returns once the entry is as durable as the setting says (``process``:
        written; ``host``: synced). Raises JournalUnavailable. Values: str, int
        (< 2**53; money as decimal strings of nano-units), bool, None, lists, objects.
        """
        ...


# ----------------------------------------------------------------------- keys


class Keys(Protocol):
    """Keys as an in-memory snapshot, fresh within five seconds."""

    def find(self, presented: str, now: int) -> Caller | Refusal:
        """Return who presents this key, or why it is not accepted. No I/O."""
        ...


# ---------------------------------------------------------------- idempotency


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReply:
    """A finished reply kept for the same caller's retry, sealed at rest."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


class Idempotency(Protocol):
    """Replies by ``Idempotency-Key``, sealed under a key derived from the caller's own."""

    async def claim(self, caller: Caller, key: str, digest: str, secret: str) -> StoredReply | Refusal | None:
        """Claim a key: None = go on; a reply = replay it; a refusal = in progress or reused."""
        ...

    async def finish(self, caller: Caller, key: str, secret: str, reply: StoredReply | None) -> None:
        """Keep the reply, or free the key (None) after a failure that billed nothing."""
        ...


# -------------------------------------------------------------- conversations


class ConversationsUnavailable(Exception):
    """What conversations were about cannot be asked now: the call is treated as unlabelled too."""


class Conversations(Protocol):
    """The labels that stay with a conversation, known to every worker, and nothing of its content."""

    async def recall(self, caller: Caller, conversation: str) -> frozenset[str]:
        """Return the labels learned so far; none for a new one. Raises ConversationsUnavailable."""
        ...

    async def learn(self, caller: Caller, conversation: str, labels: frozenset[str]) -> None:
        """Remember labels before the call goes on. Never raises: what cannot be kept now is kept later."""
        ...


# -------------------------------------------------------------------- content


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose content it is: one conversation or one person of a tenant, by a pseudonym."""

    tenant: str
    name: str  # "conversation:…", "rater:…": a keyed hash, never a name


class ContentUnavailable(Exception):
    """The content store does not answer, or its keys cannot be had. Nothing was kept or read."""


class ContentElsewhere(Exception):
    """The content is another place's: this node may not read it. The text says whose."""


class KeyRing(Protocol):
    """The root keys, one per place, under which the keys of subjects are wrapped.

    May block: it is called on the store's threads. A key service fits behind it.
    """

    def wrap(self, place: str, key: bytes, bound: bytes) -> bytes:
        """Return a key sealed under the place's root key and bound to ``bound``.

        Raises ContentUnavailable.
        """
        ...

    def unwrap(self, place: str, wrapped: bytes, bound: bytes) -> bytes:
        """Open a wrapped key. Raises ContentUnavailable when it does not open."""
        ...


class ContentStore(Protocol):
    """Keeps content sealed at rest: a key per subject and place, an expiry for every piece.

    INVARIANT: what a subject's :meth:`erase` has ended cannot be read again by anybody, and
    nobody reads what another place keeps.
    """

    async def put(
        self, subject: Subject, kind: str, items: Mapping[str, bytes], *, expires: int
    ) -> Mapping[str, bytes]:
        """Keep each piece under its name unless there is one already, until ``expires`` (an instant).

        Returns what stands under each of the names now: the first to come stays. Raises
        ContentUnavailable.
        """
        ...

    async def get(self, subject: Subject, kind: str, name: str) -> bytes | None:
        """Return one piece; None if there is none, or no more.

        Raises ContentElsewhere, ContentUnavailable.
        """
        ...

    async def all(self, subject: Subject, kind: str) -> Mapping[str, bytes]:
        """Return every piece of a kind that this place keeps of a subject. Raises ContentUnavailable."""
        ...

    async def erase(self, subject: Subject, *, by: str) -> int:
        """Destroy a subject's keys and pieces in every place of this store; return how many pieces.

        Journalled as ``content.erased``, without content; safe to repeat. Raises
        ContentUnavailable, JournalUnavailable (the content is gone then, and a repeat journals it).
        """
        ...

    async def sweep(self) -> int:
        """Delete what has expired, and keys without content; return how many pieces."""
        ...


# ------------------------------------------------------------------ telemetry


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What telemetry learns of a finished call: never content, key or user."""

    surface: str
    app: str
    team: str
    alias: str
    provider: str
    place: str
    outcome: str
    stream: bool
    started: int
    duration_s: float
    first_chunk_s: float | None
    usage: Usage | None
    attempts: int
    masked: int
    vendor_model: str | None
    request_id: str
    trace: Mapping[str, str]


class Telemetry(Protocol):
    """Spans and metrics."""

    def observe(self, seen: Observation) -> None:
        """Record one finished call. Never raises, never blocks."""
        ...

    def count(self, name: str, **labels: str) -> None:
        """Count an event of the gateway itself (``overrun``, ``detector_failure`` …)."""
        ...
