"""Redaction within a conversation: the same value keeps its token from turn to turn, on any worker.

The app names its conversation (``x-borderpost-conversation``). What a token stands for is
kept in the content store, one entry per token, first come first served; a call that meets
no new value asks nothing of the store once this worker has read the conversation. Without
a name tokens are stable within the resent history, as :mod:`gateway.core.redact` numbers them.

INVARIANT: while the store is away calls go on, with numbers that no kept token has, so that
a token never changes its meaning within a conversation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.core.decide import Decision
from gateway.core.errors import Refusal
from gateway.core.redact import redact
from gateway.core.values import Call, ClearedCall, Given, LabelledCall
from gateway.core.vault import APART, KIND, MOST, NOTHING_KNOWN, Known, conversation_name, known, pack, unpack
from gateway.ports import Clock, ContentStore, ContentUnavailable, Subject, Telemetry

KEPT_S = 30 * 24 * 3600
"""A token is forgotten this long after it was given out."""

FRESH_S = 60
"""A conversation is read again after this long: within it an erasure reaches every worker."""

CACHED = 2_000
"""Conversations that a worker remembers."""

_TRIES = 4


@dataclass(frozen=True, slots=True)
class _Read:
    known: Known
    at: int


class Vault:
    """The tokens of conversations, over the content store."""

    def __init__(
        self,
        content: ContentStore,
        clock: Clock,
        telemetry: Telemetry,
        *,
        key: bytes,
        kept_s: int = KEPT_S,
        fresh_s: int = FRESH_S,
    ) -> None:
        """``key`` turns an app's own id of a conversation into a pseudonym."""
        self._content = content
        self._clock = clock
        self._telemetry = telemetry
        self._key = key
        self._kept_ns = kept_s * 1_000_000_000
        self._fresh_ns = fresh_s * 1_000_000_000
        self._read: OrderedDict[Subject, _Read] = OrderedDict()

    def subject(self, call: Call) -> Subject:
        """Return under which pseudonym a call's conversation is kept."""
        caller = call.caller
        name = conversation_name(self._key, app=caller.app, conversation=call.conversation or "")
        return Subject(tenant=caller.tenant, name=name)

    async def redact(
        self, labelled: LabelledCall, decision: Decision, *, salt: bytes
    ) -> ClearedCall | Refusal:
        """Redact a call with its conversation's tokens, and keep those that it gives out."""
        subject = self.subject(labelled.call)
        tokens = await self._known(subject)
        for _ in range(_TRIES):
            outcome = redact(labelled, decision, salt=salt, known=tokens)
            if isinstance(outcome, Refusal) or not outcome.given or tokens.start:
                return outcome
            tokens = await self._keep(subject, tokens, outcome.given)
            if all(tokens.by_token.get(given.token) == given for given in outcome.given):
                return outcome
        # Others were faster every time: this call's new values stay apart from the conversation's.
        return redact(labelled, decision, salt=salt, known=_apart(tokens))

    async def _known(self, subject: Subject) -> Known:
        """Return a conversation's tokens, as fresh as promised."""
        read = self._read.get(subject)
        now = self._clock.now()
        if read is not None and now - read.at < self._fresh_ns:
            self._read.move_to_end(subject)
            return read.known
        try:
            found = await self._content.all(subject, KIND)
        except ContentUnavailable:
            return self._away(NOTHING_KNOWN if read is None else read.known)
        return self._remember(subject, (unpack(token, content) for token, content in found.items()))

    async def _keep(self, subject: Subject, tokens: Known, given: tuple[Given, ...]) -> Known:
        """Keep new tokens; return the conversation's, where another's may stand in place of ours."""
        if len(tokens.by_token) + len(given) > MOST:
            return _apart(tokens)
        expires = self._clock.now() + self._kept_ns
        try:
            stands = await self._content.put(
                subject, KIND, {one.token: pack(one) for one in given}, expires=expires
            )
            if all(stands.get(one.token) == pack(one) for one in given):
                return self._remember(subject, (*tokens.by_token.values(), *given))
            found = await self._content.all(subject, KIND)
        except ContentUnavailable:
            return self._away(tokens)
        return self._remember(subject, (unpack(token, content) for token, content in found.items()))

    def _remember(self, subject: Subject, given: Iterable[Given]) -> Known:
        tokens = known(given)
        self._read[subject] = _Read(tokens, self._clock.now())
        self._read.move_to_end(subject)
        while len(self._read) > CACHED:
            self._read.popitem(last=False)
        return tokens

    def _away(self, tokens: Known) -> Known:
        self._telemetry.count("vault_unavailable")
        return _apart(tokens)


def _apart(tokens: Known) -> Known:
    """Return the same tokens, with numbers for new ones that are never kept."""
    return replace(tokens, start=APART)
