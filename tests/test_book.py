"""The book: settled once, recorded once, at the hold when usage never came."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.memory_upstream import Scripted
from gateway.book import Book
from gateway.core.errors import GatewayError
from tests.spine import Spine, completion, snapshot


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    """A fresh spine."""
    return Spine(snapshot(tmp_path))


def book(spine: Spine) -> Book:
    """Return the book of a fresh call."""
    return Book(
        call=spine.call(),
        snapshot=spine.snapshot.hash,
        journal=spine.journal,
        budgets=spine.budgets,
        telemetry=spine.telemetry,
        clock=spine.clock,
    )


async def test_closing_twice_records_once(spine: Spine) -> None:
    """Two endings race now and then; the record is written by the first."""
    opened = book(spine)
    await opened.close("served", 200)
    await opened.close("internal", 500)
    assert [r["outcome"] for r in spine.records()] == ["served"]


async def test_usage_beyond_the_bound_is_booked_and_alarmed(spine: Spine) -> None:
    """A vendor that bills more than was held: booked in full, marked overrun, counted."""
    usage = {"prompt_tokens": 9_000_000, "completion_tokens": 5, "total_tokens": 9_000_005}
    spine.upstream.script("ca", Scripted(reply=completion(usage=usage)))
    await spine.pipeline.handle(spine.call(model="only-ca"))
    (record,) = spine.records()
    assert record["attempt"]["overrun"] is True
    assert record["attempt"]["usage"]["input"] == 9_000_000
    assert spine.telemetry.counted("overrun") == 1


@pytest.mark.parametrize("usage", [{"prompt_tokens": -1}, {"prompt_tokens": "many"}, {"total_tokens": 3}])
async def test_usage_that_cannot_be_trusted_is_booked_at_the_hold(
    spine: Spine, usage: dict[str, int]
) -> None:
    """Garbage in the usage is no usage: the hold is booked, estimated."""
    spine.upstream.script("ca", Scripted(reply=completion(usage=usage)))
    await spine.pipeline.handle(spine.call(model="only-ca"))
    (record,) = spine.records()
    assert record["attempt"]["estimated"] is True
    assert int(record["attempt"]["charge"]["nano"]) > 0


async def test_a_journal_that_fails_after_the_answer_is_alarmed(spine: Spine) -> None:
    """The answer cannot be undone: it is given, and the failure counted; its intent stands."""
    spine.upstream.script("ca", Scripted(reply=completion()))
    real = spine.journal.append

    async def append(kind: str, data: object) -> int:
        spine.journal.failing = kind == "call.record"
        return await real(kind, data)  # type: ignore[arg-type]  # passed on as it came

    spine.journal.append = append  # type: ignore[method-assign]  # fails at the record only
    await spine.pipeline.handle(spine.call())
    assert spine.telemetry.counted("journal_failure") == 1
    assert spine.kinds()[-1] == "attempt.intent"


async def test_a_refusal_before_any_try_has_no_attempt(spine: Spine) -> None:
    """The record of a refused call names no try and no cost."""
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(spine.call(model="chat-pro"))
    (record,) = spine.records()
    assert record["attempt"] is None
    assert record["attempts"] == 0
