"""What every adapter of the port ``ContentStore`` promises: sealed, expiring, erasable, of one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.adapters.clock import SetClock
from gateway.adapters.content_store import SqlContentStore
from gateway.adapters.keyring import FileKeyRing
from gateway.adapters.memory_content import MemoryContent
from gateway.adapters.memory_journal import MemoryJournal
from gateway.ports import ContentElsewhere, ContentStore, Subject
from tests.people import NOW, database, sqlite

LATER = NOW + 100 * 1_000_000_000
KIND = "test.text"


class Kept:
    """Nodes of several places over one database."""

    def __init__(self, node: Callable[[str], ContentStore], clock: SetClock, journal: MemoryJournal) -> None:
        self.node = node
        self.clock = clock
        self.journal = journal
        self.here = node("CA-QC")

    def erased(self) -> list[dict[str, Any]]:
        """The tombstones in the journal."""
        return [dict(entry.data) for entry in self.journal.entries if entry.kind == "content.erased"]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def kept(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Kept]:
    """Each adapter."""
    clock = SetClock(NOW)
    journal = MemoryJournal(now=clock.now)
    if request.param == "memory":
        first = MemoryContent(clock, journal, place="CA-QC")
        yield Kept(lambda place: MemoryContent(clock, journal, place=place, shared=first), clock, journal)
        return
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    ring = FileKeyRing(tmp_path)
    with database(url) as store:
        yield Kept(lambda place: SqlContentStore(store, ring, clock, journal, place=place), clock, journal)


@pytest.fixture
def jane(request: pytest.FixtureRequest) -> Subject:
    """A subject of the test's own, since a PostgreSQL database serves a whole module."""
    return Subject(tenant="maple", name=f"conversation:{request.node.name}"[:128])


async def test_what_is_put_comes_back(kept: Kept, jane: Subject) -> None:
    """One piece by name, all of a kind, and from another node of the same place."""
    await kept.here.put(jane, KIND, {"a": b"one", "b": "caf\xe9".encode()}, expires=LATER)
    assert await kept.here.get(jane, KIND, "a") == b"one"
    assert await kept.here.get(jane, KIND, "c") is None
    assert await kept.node("CA-QC").all(jane, KIND) == {"a": b"one", "b": "caf\xe9".encode()}
    assert await kept.here.all(jane, "test.other") == {}


async def test_the_first_to_come_stays(kept: Kept, jane: Subject) -> None:
    """A name has one meaning: the second is told what stands there."""
    assert await kept.here.put(jane, KIND, {"a": b"one"}, expires=LATER) == {"a": b"one"}
    assert await kept.here.put(jane, KIND, {"a": b"two", "b": b"x"}, expires=LATER) == {
        "a": b"one",
        "b": b"x",
    }


async def test_of_racing_nodes_one_wins_and_all_hear_of_it(kept: Kept, jane: Subject) -> None:
    """Ten at once, the subject's key not made yet: every one reads the same afterwards."""
    nodes = [kept.node("CA-QC") for _ in range(10)]
    told = await asyncio.gather(
        *[node.put(jane, KIND, {"a": str(n).encode()}, expires=LATER) for n, node in enumerate(nodes)]
    )
    stands = await kept.here.get(jane, KIND, "a")
    assert [answer["a"] for answer in told] == [stands] * 10


async def test_subjects_and_tenants_do_not_meet(kept: Kept, jane: Subject) -> None:
    """The same name of another subject or tenant is another piece."""
    await kept.here.put(jane, KIND, {"a": b"one"}, expires=LATER)
    assert await kept.here.get(Subject(tenant="birch", name=jane.name), KIND, "a") is None
    assert await kept.here.get(Subject(tenant="maple", name=jane.name[:-1]), KIND, "a") is None


async def test_content_expires(kept: Kept, jane: Subject) -> None:
    """After its time it is not read, its name is free, and a sweep removes it."""
    await kept.here.put(jane, KIND, {"a": b"one"}, expires=LATER)
    kept.clock.advance(seconds=101)
    assert await kept.here.get(jane, KIND, "a") is None
    assert await kept.here.all(jane, KIND) == {}
    again = kept.clock.now() + 1_000_000_000
    assert await kept.here.put(jane, KIND, {"a": b"two"}, expires=again) == {"a": b"two"}
    kept.clock.advance(seconds=2)
    assert await kept.here.sweep() >= 1


async def test_what_is_erased_is_gone_and_a_tombstone_says_so(kept: Kept, jane: Subject) -> None:
    """Every piece, in every place, at once; the journal knows who, when and how many, and no content."""
    other = Subject(tenant="maple", name=jane.name[:-1] + "!")
    await kept.here.put(jane, KIND, {"a": b"a-secret-of-jane", "b": b"x"}, expires=LATER)
    await kept.node("CA-ON").put(jane, KIND, {"c": b"y"}, expires=LATER)
    await kept.here.put(other, KIND, {"a": b"stays"}, expires=LATER)
    assert await kept.here.erase(jane, by="privacy-office") == 3
    for place in ("CA-QC", "CA-ON"):
        assert await kept.node(place).all(jane, KIND) == {}
    assert await kept.here.get(other, KIND, "a") == b"stays"
    (entry,) = kept.erased()
    assert (entry["subject"], entry["keys"], entry["pieces"]) == (jane.name, 2, 3)
    assert entry["by"] == "privacy-office"
    assert b"a-secret-of-jane" not in b"".join(kept.journal.lines)


async def test_erasing_again_is_safe_and_what_was_never_there_leaves_no_trace(
    kept: Kept, jane: Subject
) -> None:
    """A repeat after a failed journal writes the tombstone; an unknown subject writes none."""
    assert await kept.here.erase(jane, by="x") == 0
    assert kept.erased() == []
    await kept.here.put(jane, KIND, {"a": b"one"}, expires=LATER)
    await kept.here.erase(jane, by="x")
    assert await kept.here.erase(jane, by="x") == 0
    assert len(kept.erased()) == 2


async def test_a_subject_may_come_back_after_its_erasure(kept: Kept, jane: Subject) -> None:
    """With a new key: the old content does not."""
    await kept.here.put(jane, KIND, {"a": b"old"}, expires=LATER)
    await kept.here.erase(jane, by="x")
    assert await kept.here.put(jane, KIND, {"a": b"new"}, expires=LATER) == {"a": b"new"}
    assert await kept.here.all(jane, KIND) == {"a": b"new"}


async def test_a_node_refuses_to_read_another_places_content(kept: Kept, jane: Subject) -> None:
    """It says whose it is; listing shows its own only; and the same name may be kept here too."""
    await kept.here.put(jane, KIND, {"a": b"one"}, expires=LATER)
    ontario = kept.node("CA-ON")
    with pytest.raises(ContentElsewhere, match="CA-QC"):
        await ontario.get(jane, KIND, "a")
    assert await ontario.all(jane, KIND) == {}
    assert await ontario.put(jane, KIND, {"a": b"mine"}, expires=LATER) == {"a": b"mine"}
    assert await kept.here.get(jane, KIND, "a") == b"one"
