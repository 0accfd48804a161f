"""The in-memory twin of the content store: the same answers, for as long as the process lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from typing_extensions import override

from gateway.ports import Clock, ContentElsewhere, ContentStore, ContentUnavailable, Journal, Subject


@dataclass(frozen=True, slots=True)
class _Piece:
    content: bytes = field(repr=False)
    expires: int


_Place = tuple[Subject, str, str, str]  # subject, kind, name, place


class MemoryContent(ContentStore):
    """Content that lives as long as the process. Set ``failing`` to make it unavailable."""

    def __init__(
        self, clock: Clock, journal: Journal, *, place: str, shared: MemoryContent | None = None
    ) -> None:
        """``shared`` is another node's twin over the same database, perhaps in another place."""
        self._clock = clock
        self._journal = journal
        self._pieces: dict[_Place, _Piece] = {} if shared is None else shared._pieces  # noqa: SLF001
        self._erased: set[Subject] = set() if shared is None else shared._erased  # noqa: SLF001
        self.place = place
        self.failing = False

    @override
    async def put(
        self, subject: Subject, kind: str, items: Mapping[str, bytes], *, expires: int
    ) -> Mapping[str, bytes]:
        self._answer()
        for name, content in items.items():
            here = (subject, kind, name, self.place)
            if here not in self._alive():
                self._pieces[here] = _Piece(content, expires)
        return {name: self._pieces[subject, kind, name, self.place].content for name in items}

    @override
    async def get(self, subject: Subject, kind: str, name: str) -> bytes | None:
        self._answer()
        found = {key[3]: piece for key, piece in self._alive().items() if key[:3] == (subject, kind, name)}
        if found and self.place not in found:
            raise ContentElsewhere(f"this content belongs to `{next(iter(found))}`: ask a node there")
        return found[self.place].content if found else None

    @override
    async def all(self, subject: Subject, kind: str) -> Mapping[str, bytes]:
        self._answer()
        return {
            key[2]: piece.content
            for key, piece in self._alive().items()
            if key[:2] == (subject, kind) and key[3] == self.place
        }

    @override
    async def erase(self, subject: Subject, *, by: str) -> int:
        self._answer()
        gone = [key for key in self._pieces if key[0] == subject]
        places = {key[3] for key in gone}
        for key in gone:
            del self._pieces[key]
        if gone:
            self._erased.add(subject)
        if subject in self._erased:
            await self._journal.append(
                "content.erased",
                {
                    "tenant": subject.tenant,
                    "subject": subject.name,
                    "keys": len(places),
                    "pieces": len(gone),
                    "place": self.place,
                    "by": by,
                    "at": self._clock.now() // 1000,
                },
            )
        return len(gone)

    @override
    async def sweep(self) -> int:
        self._answer()
        gone = [key for key in self._pieces if key not in self._alive()]
        for key in gone:
            del self._pieces[key]
        return len(gone)

    def _alive(self) -> dict[_Place, _Piece]:
        now = self._clock.now()
        return {key: piece for key, piece in self._pieces.items() if piece.expires > now}

    def _answer(self) -> None:
        if self.failing:
            raise ContentUnavailable("it was told to fail")
