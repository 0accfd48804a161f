"""Tokens over turns and workers: one meaning for as long as the conversation is kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.clock import SetClock
from gateway.adapters.memory_content import MemoryContent
from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.core.values import ClearedCall
from gateway.core.vault import APART
from gateway.vaulting import Vault
from tests.core.privacy import EMAIL, decision, labelled, user
from tests.people import NOW

BOB, ZOE = "bob@example.com", "zoe@example.com"


class Town:
    """Workers over one content store."""

    def __init__(self) -> None:
        self.clock = SetClock(NOW)
        self.telemetry = MemoryTelemetry()
        self.journal = MemoryJournal(now=lambda: NOW)
        self.content = MemoryContent(self.clock, self.journal, place="CA-QC")
        self.asked = 0

    def worker(self) -> Vault:
        """Another worker: its memory is empty, the store is the same."""
        return Vault(self.content, self.clock, self.telemetry, key=b"k" * 32)

    async def say(
        self, vault: Vault, text: str, *, conversation: str = "c1", app: str = "app"
    ) -> dict[str, str]:
        """Redact a call; return value → token."""
        made = labelled(user(text))
        caller = replace(made.call.caller, app=app)
        made = replace(made, call=replace(made.call, caller=caller, conversation=conversation))
        outcome = await vault.redact(made, decision(tokenise=["email"]), salt=b"s")
        assert isinstance(outcome, ClearedCall)
        return {value: token for token, value in outcome.originals.items()}


@pytest.fixture
def town() -> Town:
    """No conversation yet."""
    return Town()


async def test_turn_nine_on_another_worker_uses_turn_ones_token(town: Town) -> None:
    """Although the history was not sent again and another address comes first."""
    assert await town.say(town.worker(), f"I am {EMAIL}") == {EMAIL: "<EMAIL_1>"}
    late = await town.say(town.worker(), f"{BOB} wrote to {EMAIL}")
    assert late == {EMAIL: "<EMAIL_1>", BOB: "<EMAIL_2>"}


async def test_conversations_and_apps_have_tokens_of_their_own(town: Town) -> None:
    """The same id in another app is another conversation: nothing is shared, nothing can be pulled."""
    vault = town.worker()
    await town.say(vault, EMAIL)
    assert await town.say(vault, BOB, conversation="c2") == {BOB: "<EMAIL_1>"}
    assert await town.say(vault, ZOE, app="lab") == {ZOE: "<EMAIL_1>"}


async def test_workers_that_race_never_give_one_token_two_meanings(town: Town) -> None:
    """Twelve at once, each with a new address of its own and one that all share."""
    workers = [town.worker() for _ in range(12)]
    told = await asyncio.gather(
        *[town.say(worker, f"u{n}@example.com and {EMAIL}") for n, worker in enumerate(workers)]
    )
    meant: dict[str, set[str]] = {}
    for one in told:
        for value, token in one.items():
            meant.setdefault(token, set()).add(value)
    assert all(len(values) == 1 for values in meant.values()), meant
    again = [await town.say(worker, EMAIL) for worker in workers]
    assert len({one[EMAIL] for one in again}) == 1


async def test_a_turn_without_new_values_asks_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path has no round trip for what this worker knows."""
    vault = town.worker()
    await town.say(vault, EMAIL)

    async def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(town.content, "all", never)
    monkeypatch.setattr(town.content, "put", never)
    assert await town.say(vault, f"again {EMAIL}") == {EMAIL: "<EMAIL_1>"}


async def test_without_the_store_calls_go_on_and_no_token_changes_its_meaning(town: Town) -> None:
    """New values get numbers that are never kept; known ones keep theirs where this worker knows them."""
    vault = town.worker()
    await town.say(vault, EMAIL)
    town.content.failing = True
    told = await town.say(vault, f"{EMAIL} {BOB}")
    assert told[EMAIL] == "<EMAIL_1>"
    assert told[BOB] == f"<EMAIL_{APART + 1}>"
    assert await town.say(town.worker(), ZOE) == {ZOE: f"<EMAIL_{APART + 1}>"}
    assert town.telemetry.counted("vault_unavailable") >= 2
    town.content.failing = False
    assert await town.say(vault, f"{BOB} {EMAIL}") == {EMAIL: "<EMAIL_1>", BOB: "<EMAIL_2>"}


async def test_an_erased_conversation_is_forgotten_by_every_worker_in_a_minute(town: Town) -> None:
    """Its tokens mean nothing any more; new ones start afresh."""
    vault = town.worker()
    await town.say(vault, f"{EMAIL} {BOB}")
    made = labelled(user(EMAIL))
    subject = vault.subject(replace(made.call, conversation="c1"))
    assert await town.content.erase(subject, by="privacy-office") == 2
    town.clock.advance(seconds=61)
    assert await town.say(vault, ZOE) == {ZOE: "<EMAIL_1>"}


async def test_tokens_expire(town: Town) -> None:
    """After thirty days a value gets a token anew."""
    await town.say(town.worker(), f"{BOB} {EMAIL}")
    town.clock.advance(seconds=31 * 86_400)
    assert await town.say(town.worker(), EMAIL) == {EMAIL: "<EMAIL_1>"}
