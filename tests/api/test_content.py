"""Erasure over HTTP: by whoever may, of exactly what is named, with a tombstone."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.memory_content import MemoryContent
from gateway.adapters.memory_journal import MemoryJournal
from gateway.api.content import ContentDeps, Erasure, router, subject_of
from gateway.ports import Subject
from tests.api.desk_under_test import ADMIN, CLOCK, RATER_KEY, as_role, client_of, issue_id
from tests.people import NOW, snapshot

URL = "/v1/admin/content/erase"


class Desk:
    """The route over the in-memory store, with one conversation's content in it."""

    def __init__(self) -> None:
        self.journal = MemoryJournal(now=lambda: NOW)
        self.content = MemoryContent(CLOCK, self.journal, place="CA-QC")
        self.deps = ContentDeps(
            tokens=ADMIN,
            content=self.content,
            snapshot=snapshot,
            issue_id=issue_id,
            vault_key=b"v" * 32,
            rater_key=RATER_KEY,
        )

    def subject(self, **named: str) -> Subject:
        """The subject that a request names."""
        return subject_of(Erasure(app="teller", **named), self.deps)

    async def post(self, body: dict[str, Any], role: str = "admin") -> Any:
        """Post an erasure."""
        async with client_of(router(self.deps)) as client:
            return await client.post(URL, json=body, headers=as_role(role))


@pytest.fixture
async def desk() -> Desk:
    """One conversation with two pieces."""
    made = Desk()
    subject = made.subject(conversation="chat-1")
    await made.content.put(subject, "vault.token", {"a": b"1", "b": b"2"}, expires=NOW + 10**12)
    return made


async def test_a_conversation_is_erased_by_the_apps_own_name_for_it(desk: Desk) -> None:
    """The answer and the journal say the pseudonym, never the name."""
    answer = await desk.post({"app": "teller", "conversation": "chat-1"})
    assert (answer.status_code, answer.json()["erased"]) == (200, 2)
    assert await desk.content.all(desk.subject(conversation="chat-1"), "vault.token") == {}
    entry = desk.journal.entries[-1]
    assert (entry.kind, entry.data["by"]) == ("content.erased", "a-admin")
    assert b"chat-1" not in desk.journal.lines[-1]
    assert "chat-1" not in answer.text


async def test_another_app_or_conversation_is_another_subject(desk: Desk) -> None:
    """An erasure that names the wrong one erases nothing."""
    for body in ({"app": "lab", "conversation": "chat-1"}, {"app": "teller", "conversation": "chat-2"}):
        assert (await desk.post(body)).json()["erased"] == 0
    assert len(await desk.content.all(desk.subject(conversation="chat-1"), "vault.token")) == 2


@pytest.mark.parametrize("body", [{"app": "teller"}, {"app": "teller", "rater": "a", "call": "b"}])
async def test_exactly_one_subject_is_named(desk: Desk, body: dict[str, str]) -> None:
    """Doubt erases nothing."""
    answer = await desk.post(body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "conversation")


@pytest.mark.parametrize("role", ["finance", "auditor"])
async def test_only_an_admin_erases(desk: Desk, role: str) -> None:
    """Others are refused."""
    assert (await desk.post({"app": "teller", "conversation": "chat-1"}, role)).status_code == 403


async def test_a_store_or_a_journal_that_is_away_is_said(desk: Desk) -> None:
    """503: the one before anything happened, the other after; a repeat completes either."""
    desk.journal.failing = True
    answer = await desk.post({"app": "teller", "conversation": "chat-1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "journal_unavailable")
    desk.journal.failing, desk.content.failing = False, True
    answer = await desk.post({"app": "teller", "conversation": "chat-1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    desk.content.failing = False
    assert (await desk.post({"app": "teller", "conversation": "chat-1"})).status_code == 200
    assert desk.journal.entries[-1].kind == "content.erased"
