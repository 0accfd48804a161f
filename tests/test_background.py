"""What runs beside the calls: nothing of it ends because a database is away, and no fault is silent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from gateway import background
from gateway.adapters.adoption import Adoption
from gateway.adapters.clock import SetClock, SystemClock
from gateway.adapters.journal_file import FileJournal
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.memory_content import MemoryContent
from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.schema import migrate
from gateway.adapters.store_sql.tables import bundles, writers
from gateway.api.health import Lifecycle
from gateway.core.record import Entry
from gateway.policy.problems import Problem
from gateway.policy.stored import Keeper
from gateway.policy.watch import PolicySource
from gateway.ports import JournalUnavailable, Subject
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.worker import running, settings

SOON = 0.01


async def eventually(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait for what work beside the test brings about."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(SOON)


@contextlib.asynccontextmanager
async def beside(work: Any, name: str = "part") -> AsyncIterator[None]:
    """Run work as the worker does; whatever ends it before its time fails the test's last wait."""
    async with contextlib.AsyncExitStack() as stack:
        background.beside(stack, name, work)
        yield


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[logging.LogRecord]]:
    """The log's lines with a message."""
    caplog.set_level(logging.INFO, "gateway")
    return lambda message: [record for record in caplog.records if record.msg == message]


@pytest.fixture
def absent(tmp_path: Path) -> Any:
    """A database that is away: its folder is not there until ``come`` is called."""
    folder = tmp_path / "later"
    store = Store(f"sqlite:///{folder / 'state.db'}")
    yield SimpleNamespace(store=store, come=folder.mkdir)
    store.close()


# ------------------------------------------------------------------ parts and their faults


async def test_a_part_that_ends_by_a_fault_is_told_and_the_others_go_on(logged) -> None:
    """Its name and the kind of the fault: enough to know what does not run any more, and no content."""
    turns = 0

    async def goes_on() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def breaks() -> None:
        raise ValueError("a prompt of somebody")

    async with contextlib.AsyncExitStack() as stack:
        background.beside(stack, "good", goes_on())
        background.beside(stack, "bad", breaks())
        await eventually(lambda: logged("stopped by a fault"))
        before = turns
        await eventually(lambda: turns > before)
    [record] = logged("stopped by a fault")
    assert (record.part, record.error) == ("bad", "ValueError")
    assert "prompt" not in str(record.__dict__)


async def test_stopping_waits_for_each_part_and_is_no_fault(logged) -> None:
    """A part that was cancelled has ended, with its last lines, when the worker has stopped."""
    ended = []

    async def part() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("part")

    async with beside(part()):
        await asyncio.sleep(0)
    assert ended == ["part"]
    assert not logged("stopped by a fault")


# ------------------------------------------------------------------ a database that was away at boot


async def test_a_database_that_comes_late_is_brought_up_to_date_and_waited_for(absent) -> None:
    """What needs the schema starts when it is there and not before; until then /readyz has the reason."""
    healing = background.Healing(absent.store, ready=False, every_s=SOON)
    started = asyncio.Event()

    async def needs_the_schema() -> None:
        with absent.store.read() as connection:
            assert connection.execute(select(bundles)).all() == []
        started.set()

    async with contextlib.AsyncExitStack() as stack:
        background.beside(stack, "healing", healing.run())
        background.beside(stack, "needs", healing.then(needs_the_schema))
        assert not await background.schema_ready(absent.store)
        assert healing.why == "the database has not answered since the start"
        assert not started.is_set()
        absent.come()
        async with asyncio.timeout(20):
            await started.wait()
        assert healing.why is None


async def test_a_database_that_was_there_is_not_waited_for(absent) -> None:
    """Nothing is asked of it again."""
    healing = background.Healing(absent.store, ready=True)
    done = []

    async def work() -> None:
        done.append(1)

    async with asyncio.timeout(5):
        await healing.run()
        await healing.then(work)
    assert (healing.why, done) == (None, [1])


# ------------------------------------------------------------------ policies


async def test_a_bad_reload_keeps_the_last_good_bundle(tmp_path: Path) -> None:
    """A bundle that cannot be used is reported in /status and changes nothing."""
    lifecycle = Lifecycle()
    async with running(tmp_path, lifecycle) as client:
        before = (await client.get("/status")).json()["policy"]["snapshot"]
        (tmp_path / "policies" / "routes.yaml").write_text("routes: {chat: {try: [nowhere]}}")
        lifecycle.reload()
        after: dict[str, Any] = {"worker": {"policy_problems": []}}
        async with asyncio.timeout(20):
            while not after["worker"]["policy_problems"]:
                after = (await client.get("/status")).json()
                await asyncio.sleep(SOON)
        (control,) = [c for c in after["controls"] if c["name"] == "policy"]
        assert control["mode"] == "degraded"
        assert after["policy"]["snapshot"] == before
        assert "nowhere" in str(after["worker"]["policy_problems"])


def raised(folder: Path, old: bytes, new: bytes) -> None:
    """Write another amount into the teams' budgets."""
    teams = folder / "policies" / "teams.yaml"
    content = teams.read_bytes()
    assert old in content
    beside_it = teams.with_suffix(".new")
    beside_it.write_bytes(content.replace(old, new))
    beside_it.replace(teams)  # whole, as it may be read at any moment


async def test_a_bundle_in_force_is_kept_and_its_change_of_money_journalled(tmp_path: Path, logged) -> None:
    """Also when a journal refuses one of them in between: the next is taken and told again."""
    settings(tmp_path)
    refused = []

    class Refuses(MemoryJournal):
        async def append(self, kind: str, data: Any) -> int:
            try:
                return await super().append(kind, data)
            except JournalUnavailable:
                refused.append(str(data["changes"]))
                raise

    clock, journal = SystemClock(), Refuses()
    source = PolicySource(tmp_path / "policies")
    source.load(now=clock.now())

    def told(amount: str) -> bool:
        changes = [entry.data["changes"] for entry in journal.entries if entry.kind == "money.changed"]
        return any(amount in str(said) for said in changes)

    with opened(sqlite_url(tmp_path)) as store:
        healing = background.Healing(store, ready=True)
        keeper = Keeper(store, source)
        async with beside(background.poll_policies(source, keeper, clock, healing, journal, every_s=SOON)):
            raised(tmp_path, b"300.00", b"310.00")
            await eventually(lambda: told("310"))
            journal.failing = True
            raised(tmp_path, b"310.00", b"320.00")
            await eventually(lambda: any("320" in said for said in refused))
            journal.failing = False
            raised(tmp_path, b"320.00", b"330.00")
            await eventually(lambda: told("330"))
        with store.read() as connection:
            assert source.snapshot.hash in set(connection.execute(select(bundles.c.hash)).scalars())
    assert not logged("stopped by a fault")
    assert logged("policy in force")[-1].snapshot == source.snapshot.hash


async def test_nothing_is_asked_of_a_database_without_its_schema(tmp_path: Path, absent, logged) -> None:
    """Policies are looked at all the same, so that a change is in force without the database."""
    settings(tmp_path)
    clock = SystemClock()
    source = PolicySource(tmp_path / "policies")
    first = source.load(now=clock.now()).hash
    asked = []

    class Asked(Keeper):
        async def keep(self, *, now: int) -> Any:
            asked.append(now)
            raise StoreUnavailable("away")

    healing = background.Healing(absent.store, ready=False)
    keeper = Asked(absent.store, source)
    async with beside(
        background.poll_policies(source, keeper, clock, healing, MemoryJournal(), every_s=SOON)
    ):
        raised(tmp_path, b"300.00", b"310.00")
        await eventually(lambda: source.snapshot.hash != first)
        assert asked == []
        healing.why = None
        await eventually(lambda: len(asked) > 2)  # a store that is away ends nothing either
    assert not logged("stopped by a fault")


def test_a_policy_that_is_not_taken_is_an_error_with_its_place(logged) -> None:
    """The first problem, where it stands; nothing is said while nothing changes."""
    background.told(None)
    background.told(())
    assert not logged("policy not taken; the last good one stays")
    background.told((Problem(file="teams.yaml", line=3, column=1, message="no such model"),))
    [record] = logged("policy not taken; the last good one stays")
    assert record.levelno == logging.ERROR
    assert "teams.yaml:3" in record.why
    assert "no such model" in record.why


# ------------------------------------------------------------------ the journal's way into the database


async def test_dead_writers_are_adopted_as_soon_as_the_database_is_there(
    tmp_path: Path, absent, logged
) -> None:
    """A sweep that found the database away is no end of sweeping."""
    ready = tmp_path / "ready"
    ready.mkdir()
    with opened(sqlite_url(ready)):
        pass
    root = tmp_path / "journal"
    dead = FileJournal.claim(root, place="p")
    dead.close()
    journal = FileJournal.claim(root, place="p")
    adoption = Adoption(absent.store, root, journal)
    with pytest.raises(StoreUnavailable):
        adoption.sweep()
    async with beside(background.adopt(absent.store, adoption, every_s=SOON)):
        ready.rename(tmp_path / "later")  # the database is there, whole
        await eventually(lambda: logged("writer adopted"))
    [record] = logged("writer adopted")
    assert (record.writer, record.abandoned) == (dead.writer, 0)
    assert not logged("stopped by a fault")
    journal.close()


async def test_a_disk_that_is_away_is_no_end_of_adopting(absent, logged) -> None:
    """The next sweep finds again what this one could not finish."""
    sweeps = []

    class Unwritable:
        def sweep(self) -> list[object]:
            sweeps.append(1)
            raise JournalUnavailable("the disk is full")

    class Here:
        async def call(self, work: Callable[[], object]) -> object:
            return work()

    async with beside(background.adopt(Here(), Unwritable(), every_s=SOON)):
        await eventually(lambda: len(sweeps) > 2)
    assert not logged("stopped by a fault")


def test_what_no_table_takes_and_what_cannot_be_adopted_raise_an_alarm(logged) -> None:
    """The metric that `observe` tells operators to watch, and a line in the log; never the entry's data."""
    telemetry = MemoryTelemetry()
    entry = Entry(writer="w", seq=7, t=1, kind="call.record", data={"x": "words"}, prev="")
    background.not_projected(telemetry, entry, "ValueError")
    assert telemetry.counts["entry_not_projected", frozenset({("kind", "call.record")})] == 1
    [record] = logged("entry not projected")
    assert (record.seq, record.kind, record.error) == (7, "call.record", "ValueError")
    assert "words" not in str(record.__dict__)
    background.not_adopted("w2", "Garbled: line 3")
    [record] = logged("writer not adopted")
    assert (record.levelno, record.writer, record.why) == (logging.ERROR, "w2", "Garbled: line 3")


# ------------------------------------------------------------------ what expires


async def test_expired_content_goes_even_if_the_store_failed_once(logged) -> None:
    """What may be kept until a day is not kept longer because one sweep failed."""
    clock = SetClock(1_000)
    sweeps = 0

    class Counted(MemoryContent):
        async def sweep(self) -> int:
            nonlocal sweeps
            sweeps += 1
            return await super().sweep()

    content = Counted(clock, MemoryJournal(), place="CA")
    await content.put(Subject(tenant="t", name="s"), "vault", {"a": b"1"}, expires=2_000)
    clock.advance(nanoseconds=2_000)
    content.failing = True
    async with beside(background.sweep_content(content, every_s=SOON)):
        await eventually(lambda: sweeps > 2)
        assert content._pieces
        content.failing = False
        await eventually(lambda: not content._pieces)
    assert not logged("stopped by a fault")


async def test_idempotency_keys_are_swept_again_after_a_failure(logged) -> None:
    """A store that is away is asked again."""
    swept = []

    class Keys:
        async def sweep(self) -> int:
            swept.append(1)
            if len(swept) < 3:
                raise StoreUnavailable("away")
            return 0

    async with beside(background.sweep(Keys(), every_s=SOON)):
        await eventually(lambda: len(swept) > 3)
    assert not logged("stopped by a fault")


# ------------------------------------------------------------------ the end


class Ends:
    """A spine with nothing in flight, which notes for how long it would have waited."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    async def drain(self, seconds: float) -> None:
        self.waited.append(seconds)


def parts(store: Store, folder: Path) -> tuple[FileJournal, LeasedBudgets, Projector, Adoption]:
    """What a worker ends with."""
    journal = FileJournal.claim(folder / "journal", place="p")
    projector = Projector(store, journal.folder, place="p")
    return (
        journal,
        LeasedBudgets(store, journal.writer),
        projector,
        Adoption(store, folder / "journal", journal),
    )


async def test_a_worker_that_ends_leaves_its_writer_closed(tmp_path: Path) -> None:
    """Calls in flight get their moment first; then nothing is left for others to adopt."""
    with opened(sqlite_url(tmp_path)) as store:
        journal, budgets, projector, adoption = parts(store, tmp_path)
        ends = Ends()
        await background.last_words(ends, budgets, projector, adoption, store)
        journal.close()
        assert ends.waited == [background.LAST_WORDS_S]
        with store.read() as connection:
            [(name, state)] = connection.execute(select(writers.c.id, writers.c.state)).all()
        assert (name, state) == (journal.writer, "closed")


async def test_a_database_that_is_away_or_hangs_does_not_hold_up_the_end(tmp_path: Path, absent) -> None:
    """The journal keeps what could not be shipped: whoever adopts it finds the writer open."""
    journal, budgets, projector, adoption = parts(absent.store, tmp_path)
    await background.last_words(Ends(), budgets, projector, adoption, absent.store)

    class Hangs(LeasedBudgets):
        async def close(self) -> None:
            await asyncio.Event().wait()

    hangs = Hangs(absent.store, journal.writer)
    async with asyncio.timeout(20):
        await background.last_words(Ends(), hangs, projector, adoption, absent.store, most_s=SOON)
    journal.close()
    absent.come()
    migrate(absent.store)
    other = FileJournal.claim(tmp_path / "journal", place="p")
    [adopted] = Adoption(absent.store, tmp_path / "journal", other).sweep()
    assert adopted.writer == journal.writer
    other.close()
