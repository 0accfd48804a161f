"""A pool of Presidio processes behind the Detector port, off the event loop.

Children are started with ``spawn`` semantics (a fresh interpreter, see :mod:`.child`), and
spoken to over pipes. Whatever goes wrong with one (slow, dead, garbled) costs that one
call its answer: the child is killed, another is started, and the caller gets
DetectorUnavailable, which the policy treats as doubt. Results are kept by a keyed hash of
the text, so that a chat's resent history is analysed once; no text is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from typing_extensions import override

from gateway.adapters.children import UNCONFINED, Confinement
from gateway.adapters.detectors.frames import MOST, frame
from gateway.core import patterns
from gateway.core.values import Span
from gateway.ports import Detector, DetectorUnavailable, Text

NAME = "presidio/2.2+prose/2"
PROSE = frozenset({"person", "location", "organisation"})
KNOWN = PROSE | patterns.KINDS

PER_THOUSAND_MS = 100
"""What a thousand characters may take: three times what they take on a busy core."""

_CHILD = (sys.executable, "-m", "gateway.adapters.detectors.child")


@dataclass(slots=True, eq=False)
class _Child:
    """One running process, idle or lent to one request."""

    process: asyncio.subprocess.Process
    asked: int = 0


class PresidioPool(Detector):
    """Detects with ``processes`` children; ``start()`` before use, ``close()`` after.

    ``timeout_ms`` bounds a request, waiting for a free child included; each thousand
    characters to analyse add :data:`PER_THOUSAND_MS` to it. ``waiting`` is
    how many requests may queue before further ones are refused at once; ``cached`` is how
    many texts' results are kept, for ``tenant`` only. ``command`` starts another child program, for tests;
    ``confinement`` keeps children from the network; ``models`` names other models by language
    (:mod:`.ner_models`).
    """

    def __init__(
        self,
        kinds: frozenset[str] = PROSE,
        *,
        processes: int = 1,
        timeout_ms: int = 2_000,
        waiting: int = 64,
        cached: int = 8_192,
        tenant: str = "",
        start_timeout_s: float = 60.0,
        command: Sequence[str] = _CHILD,
        confinement: Confinement = UNCONFINED,
        models: Mapping[str, str] | None = None,
    ) -> None:
        if unknown := sorted(kinds - KNOWN):
            raise ValueError(f"unknown kinds `{', '.join(unknown)}`; known are {', '.join(sorted(KNOWN))}")
        self._kinds = kinds
        self._processes = processes
        self._timeout = timeout_ms / 1000
        self._most_waiting = waiting
        self._start_timeout = start_timeout_s
        named = [f"{language}={model}" for language, model in sorted((models or {}).items())]
        self._name = "+".join((NAME, *named))
        self._command = confinement.command([*command, *named])
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._all: set[_Child] = set()
        self._dead: set[_Child] = set()  # killed, not yet reaped
        self._starting: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closed = False
        self._cached = cached
        self._cache: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()
        # INVARIANT: an answer is found again only by the tenant and the detector version that made it.
        made_by = f"{tenant}\0{self._name}\0{patterns.NAME}".encode("utf-8", "surrogatepass")
        self._cache_key = hmac.digest(secrets.token_bytes(32), made_by, "sha256")

    @property
    @override
    def kinds(self) -> frozenset[str]:
        """The kinds that this pool was made for."""
        return self._kinds

    @property
    @override
    def name(self) -> str:
        """Presidio, its version line, and the models that a setting names."""
        return self._name

    @property
    def alive(self) -> int:
        """How many children are ready or at work, for readiness checks."""
        return len(self._all)

    async def start(self) -> None:
        """Start every child and wait for its self-test.

        Raises DetectorUnavailable if one fails.
        """
        children = await asyncio.gather(
            *(self._spawn() for _ in range(self._processes)), return_exceptions=True
        )
        failures = [child for child in children if isinstance(child, BaseException)]
        if failures:
            await self.close()
            raise failures[0]
        for child in children:
            if isinstance(child, _Child):
                self._idle.put_nowait(child)

    async def close(self) -> None:
        """End every child and wait for it."""
        self._closed = True
        for task in tuple(self._starting):
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for child in (*self._all, *self._dead):
            await self._end(child)

    @override
    async def detect(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[list[Span]]:
        """Return the spans of each text. Raises DetectorUnavailable."""
        wanted = kinds & self._kinds
        if not wanted or not texts:
            return [[] for _ in texts]
        keys = [self._key(text, wanted) for text in texts]
        found: dict[bytes, tuple[Span, ...]] = {}
        missing: dict[bytes, Text] = {}
        for key, text in zip(keys, texts, strict=True):
            known = self._cache.get(key)
            if known is None:
                missing[key] = text
            else:
                self._cache.move_to_end(key)
                found[key] = known
        if missing:
            answers = await self._ask(list(missing.values()), wanted)
            for key, spans in zip(missing, answers, strict=True):
                found[key] = self._cache[key] = spans
            while len(self._cache) > self._cached:
                self._cache.popitem(last=False)
        return [list(found[key]) for key in keys]

    def _key(self, text: Text, kinds: frozenset[str]) -> bytes:
        """Return a keyed hash of what an answer depends on; without the key it tells nothing."""
        digest = hmac.new(self._cache_key, digestmod=hashlib.sha256)
        for part in (",".join(sorted(kinds)), text.context or "", text.text):
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
        return digest.digest()

    async def _ask(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[tuple[Span, ...]]:
        """Have one child analyse texts, within the time that a request has."""
        if self._waiting >= self._most_waiting:
            raise DetectorUnavailable("too many texts wait for the detector")
        self._waiting += 1
        more = sum(len(text.text) for text in texts) * PER_THOUSAND_MS / 1_000_000
        child: _Child | None = None
        try:
            async with asyncio.timeout(self._timeout + more):
                child = await self._idle.get()
                spans = await self._exchange(child, texts, kinds)
        except TimeoutError:
            raise DetectorUnavailable("the detector is slow") from None
        except (OSError, asyncio.IncompleteReadError, ValueError, KeyError, TypeError):
            raise DetectorUnavailable("the detector died or answered garbage") from None
        else:
            self._idle.put_nowait(child)
            child = None
            return spans
        finally:
            self._waiting -= 1
            if child is not None:
                # INVARIANT: a child with an answer outstanding is never lent again, also
                # when the caller went away: its next answer would be for other texts.
                self._replace(child)

    async def _exchange(
        self, child: _Child, texts: Sequence[Text], kinds: frozenset[str]
    ) -> list[tuple[Span, ...]]:
        """Ask one child and check its answer. Raises ValueError, KeyError, TypeError for garbage."""
        child.asked += 1
        request: dict[str, object] = {
            "id": child.asked,
            "kinds": sorted(kinds),
            "texts": [[text.text, text.context] for text in texts],
        }
        sink = child.process.stdin
        if sink is None:
            raise ValueError("no pipe")
        sink.write(frame(request))
        await sink.drain()
        answer = await self._read(child)
        spans = answer["spans"]
        if answer["id"] != child.asked or not isinstance(spans, list) or len(spans) != len(texts):
            raise ValueError("an answer to another question")
        return [
            _spans(raw, len(text.text), kinds, self._name) for raw, text in zip(spans, texts, strict=True)
        ]

    async def _read(self, child: _Child) -> dict[str, object]:
        source = child.process.stdout
        if source is None:
            raise ValueError("no pipe")
        size = int.from_bytes(await source.readexactly(4), "big")
        if size > MOST:
            raise ValueError("an answer too large")
        message = orjson.loads(await source.readexactly(size))
        if not isinstance(message, dict):
            raise TypeError("an answer that is no object")
        return message

    async def _spawn(self) -> _Child:
        """Start a child and wait until it says that it finds names."""
        # An environment of its own: nothing of ours (keys, proxies) is inherited.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        child = _Child(process)
        self._all.add(child)
        ready = False
        try:
            async with asyncio.timeout(self._start_timeout):
                hello = await self._read(child)
            if hello.get("ready") is not True:
                raise DetectorUnavailable(f"the detector cannot start: {hello.get('why')}")
            ready = True
        except (TimeoutError, OSError, ValueError, TypeError, asyncio.IncompleteReadError):
            raise DetectorUnavailable("the detector does not start; run `borderpost doctor`") from None
        finally:
            if not ready:
                await self._end(child)
        return child

    def _replace(self, child: _Child) -> None:
        """Kill a child and start another in the background."""
        self._all.discard(child)
        self._dead.add(child)
        _kill(child)
        if self._closed:
            return
        task = asyncio.get_running_loop().create_task(self._refill(child))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _refill(self, dead: _Child) -> None:
        """Reap the dead and start a child, again and again with growing pauses."""
        await self._end(dead)
        pause = 0.25
        while not self._closed:
            try:
                self._idle.put_nowait(await self._spawn())
            except DetectorUnavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)
            else:
                return

    async def _end(self, child: _Child) -> None:
        self._all.discard(child)
        self._dead.add(child)
        _kill(child)
        # INVARIANT: a child stays listed until it is reaped, so that `close` waits for it
        # even if the task that was waiting is cancelled.
        await child.process.wait()
        self._dead.discard(child)


def _kill(child: _Child) -> None:
    if child.process.stdin is not None:
        child.process.stdin.close()
    if child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.process.kill()


def _spans(raw: object, size: int, kinds: frozenset[str], name: str) -> tuple[Span, ...]:
    """Check one text's spans: positions inside it, kinds that were asked for."""
    if not isinstance(raw, list):
        raise TypeError("spans that are no list")
    spans: list[Span] = []
    for kind, start, end, score in raw:
        if kind not in kinds or not 0 <= start < end <= size:
            raise ValueError("a span outside its text")
        spans.append(Span(kind=kind, start=start, end=end, score=int(score), detector=name))
    return tuple(spans)
