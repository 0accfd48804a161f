"""Alerts on their way: once per threshold over all workers, tried again, made good after a crash."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.adapters.alert_webhook import NotDelivered
from gateway.adapters.alerts import Sender, payload
from gateway.adapters.clock import SystemClock
from gateway.adapters.memory_telemetry import MemoryTelemetry
from gateway.adapters.store_sql import alerts as rows
from gateway.adapters.store_sql.engine import StoreUnavailable
from gateway.adapters.transport import Transport
from gateway.adapters.upstreams.secrets import Secrets
from gateway.core.alert_plan import AlertKind, Sending, Webhook
from gateway.core.overruns import Overrun
from tests.adapters.alarm import bank, budgeted, hook, telling, worker
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.people import NOW, app, limit

HOOK = Webhook(url="http://127.0.0.1:1/hook", secret=None)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


class Sent:
    """Takes what is sent; fails as often as it is told to."""

    def __init__(self, *failures: str) -> None:
        self.got: list[Any] = []
        self.failures = list(failures)

    async def __call__(self, receiver: Any, told: Any, snapshot: Any) -> None:
        """Keep it, or fail."""
        if self.failures:
            raise NotDelivered(self.failures.pop(0))
        self.got.append(told)

    @property
    def titles(self) -> list[str]:
        """What was told, in order."""
        return [told.title for told in self.got]


def listed(store):
    with store.read() as connection:
        return [told for told in rows.listing(connection, "maple") if told.destination != rows.NOTED]


async def test_each_threshold_is_told_once_by_two_workers(store):
    """Both see 85 % of the same budget again and again: 50 and 80 arrive once each, 100 does not."""
    sent = Sent()
    found = telling(bank(budgeted()), HOOK)
    one, two = worker(store, found, sent, name="w1"), worker(store, found, sent, name="w2")
    await one.spend("85.00")
    for _ in range(3):
        await asyncio.gather(one.alerts.step(), two.alerts.step())
    assert sorted(told.facts.get("percent", 0) for told in sent.got if told.kind == "budget_threshold") == [
        50,
        80,
    ]
    assert any("has passed 80 % of its budget: 85.00 CAD of 100.00 CAD" in title for title in sent.titles)
    await two.spend("20.00")
    await one.budgets.flush()
    await asyncio.gather(one.alerts.step(), two.alerts.step())
    await two.alerts.step()
    thresholds = [told.facts["percent"] for told in sent.got if told.kind == "budget_threshold"]
    assert sorted(thresholds) == [50, 80, 100]
    assert len({told.key for told in sent.got}) == len(sent.got)


async def test_a_new_window_tells_anew(store):
    """The threshold of December is another one than November's."""
    sent = Sent()
    found = telling(bank(budgeted(alert_at=(50,))), HOOK)
    one = worker(store, found, sent)
    await one.spend("60.00")
    await one.alerts.step()
    one.clock.advance(seconds=10 * 86_400)
    await one.alerts.step()
    assert [told.kind for told in sent.got].count("budget_threshold") == 1
    await one.spend("60.00")
    await one.alerts.step()
    assert [told.key for told in sent.got if told.kind == "budget_threshold"] == [
        "threshold:team:branch:CAD:2026-11-01T04:00:00Z:50",
        "threshold:team:branch:CAD:2026-12-01T05:00:00Z:50",
    ]


@pytest.mark.parametrize(("day", "hours"), [("2026-11-01", 25), ("2026-03-08", 23)])
async def test_a_day_of_25_or_23_hours_is_one_window(store, day, hours):
    """When clocks change a daily threshold is told once in all hours of that day, and again after it."""
    start = int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("America/Toronto")).timestamp())
    sent = Sent()
    found = telling(bank(budgeted(per="day", alert_at=(50,))), HOOK)
    one = worker(store, found, sent, now=start * 10**9)
    await one.spend("60.00")
    for _ in range(hours):
        await one.alerts.step()
        one.clock.advance(seconds=3600)
    assert len([told for told in sent.got if told.kind == "budget_threshold"]) == 1
    await one.spend("60.00")
    await one.alerts.step()
    assert len([told for told in sent.got if told.kind == "budget_threshold"]) == 2


async def test_a_failure_is_tried_again_and_in_the_end_said(store):
    """Down twice: it arrives at the third try. Down for good: recorded as undelivered, counted, and over."""
    sent = Sent("timeout", "status_500")
    one = worker(store, telling(bank(app()), HOOK), sent, backoff_s=(30, 120))
    one.alerts.note(*overrun())
    await one.alerts.step()
    assert sent.got == []
    for seconds in (29, 1, 119, 1):
        one.clock.advance(seconds=seconds)
        await one.alerts.step()
    assert len(sent.got) == 1 + 1  # the overrun at its third try, the suspension at its second
    gone = worker(store, telling(bank(app()), HOOK), Sent(*["connect"] * 99), name="w2", now=NOW + 10**15,
                  backoff_s=(30, 120))  # fmt: skip
    gone.alerts.note(*overrun(deployment="us"))
    for seconds in (0, 30, 120, 10_000):
        gone.clock.advance(seconds=seconds)
        await gone.alerts.step()
    lost = [told for told in listed(store) if told.state == rows.UNDELIVERED]
    assert {(told.tries, told.why) for told in lost} == {(3, "connect")}
    assert gone.alerts.standing == {"pending": 0, "undelivered": 2}
    assert gone.telemetry.counted("alert_undelivered") == 2


def overrun(deployment="ca"):
    """What is told of a bill beyond its bound."""
    from gateway.core.alerts import overrun_alerts

    return overrun_alerts(
        Overrun(
            deployment=deployment,
            call="req_1",
            attempt="req_1#1",
            bound=1,
            billed=2,
            currency="USD",
            over=("team:branch:CAD",),
            at=NOW,
        )
    )


async def test_a_worker_that_dies_while_it_sends_is_made_good(store):
    """Claimed, then killed before a byte left: after the lease another worker sends it, once."""
    never = asyncio.Event()
    begun = asyncio.Event()

    async def dies(receiver, told, snapshot):
        begun.set()
        await never.wait()

    found = telling(bank(budgeted(alert_at=(50,))), HOOK)
    dead = worker(store, found, dies, name="dead")
    await dead.spend("60.00")
    task = asyncio.ensure_future(dead.alerts.step())
    async with asyncio.timeout(20):
        await begun.wait()
    task.cancel()  # as a killed process: nothing after the claim is written
    await asyncio.gather(task, return_exceptions=True)
    sent = Sent()
    alive = worker(store, found, sent, name="alive")
    await alive.alerts.step()
    assert sent.got == []  # within the lease it may still be on its way
    alive.clock.advance(seconds=61)
    await alive.alerts.step()
    await alive.alerts.step()
    assert len([told for told in sent.got if told.kind == "budget_threshold"]) == 1
    assert all(told.state == rows.SENT for told in listed(store))


async def test_who_is_told_of_what(store):
    """By kind and team: finance of budgets, the platform of overruns, the lab of nothing of the branch."""
    sendings = (
        Sending(kinds=frozenset({AlertKind.THRESHOLD}), teams=None, to=("one",)),
        Sending(kinds=frozenset({AlertKind.OVERRUN}), teams=None, to=("two",)),
        Sending(kinds=None, teams=frozenset({"lab"}), to=("three",)),
    )
    sent: list[tuple[str, str]] = []

    async def send(receiver, told, snapshot):
        sent.append((receiver.name, told.kind))

    found = telling(bank(budgeted(alert_at=(50,))), HOOK, HOOK, HOOK, sendings=sendings)
    one = worker(store, found, send)
    await one.spend("60.00")
    one.alerts.note(*overrun())
    await one.alerts.step()
    assert sorted(sent) == [("one", "budget_threshold"), ("two", "overrun")]


async def test_without_a_destination_an_alert_is_noted(store):
    """It shows in the list, in the log and in the metrics; nothing waits."""
    one = worker(store, bank(budgeted(alert_at=(50,))), Sent())
    await one.spend("60.00")
    await one.alerts.step()
    with store.read() as connection:
        told = rows.listing(connection, "maple")
    assert "budget_threshold" in {each.kind for each in told}
    assert {(each.destination, each.state) for each in told} == {(rows.NOTED, rows.SENT)}
    assert one.telemetry.counted("alert") == len(told)


async def test_a_destination_that_left_the_policy_is_sent_nothing(store):
    """Told while it was declared, due when it is not: undelivered, and the guard was not even asked."""
    sent = Sent("timeout")
    one = worker(store, telling(bank(app()), HOOK), sent, backoff_s=(30,))
    one.alerts.note(overrun()[0])
    await one.alerts.step()
    one.holder["snapshot"] = bank(app())
    one.clock.advance(seconds=31)
    await one.alerts.step()
    assert [(told.state, told.why) for told in listed(store)] == [(rows.UNDELIVERED, "no_destination")]
    assert sent.got == []


async def test_budgets_per_key_are_told_by_key_and_app(store):
    """Two apps, one template id, different limits: a key is measured by its own app's limit."""
    from gateway.adapters.keys import mint
    from gateway.adapters.store_sql import keys as key_rows

    def template(amount):
        return replace(limit("key:*:CAD", "key", "*", amount), alert_at=(50,))

    apps = [replace(app(name), key_budgets=(template(amount),)) for name, amount in
            (("teller", "10.00"), ("vault", "1000.00"))]  # fmt: skip
    sent = Sent()
    one = worker(store, telling(bank(*apps), HOOK), sent)
    ids = []
    with store.write() as connection:
        for each in apps:
            _, row = mint(tenant="maple", app=each.id, now=NOW, by="tests")
            key_rows.add(connection, row)
            ids.append(row.id)
    from gateway.core.wants import want_of

    for each, key in zip(apps, ids, strict=True):
        want = want_of(each.key_budgets[0], at=NOW, name=key, amount=6 * 10**9)
        hold: Any = await one.budgets.reserve(f"h-{key}", (want,))
        one.budgets.settle(hold, {want.budget: want.amount})
    await one.alerts.step()
    about = [told.facts["scope"] for told in sent.got if told.kind == "budget_threshold"]
    assert about == [f"key `{ids[0]}` (month)"]


async def test_a_journal_that_breaks_is_told(store):
    """Once a day, while it is broken."""
    broken: dict[str, str | None] = {"why": None}
    sent = Sent()
    one = worker(store, telling(bank(app()), HOOK), sent, broken=broken)
    await one.alerts.step()
    assert sent.got == []
    broken["why"] = "no space left on device"
    await one.alerts.step()
    await one.alerts.step()
    assert [told.kind for told in sent.got] == ["journal_failure"]


async def test_a_database_that_is_away_loses_nothing(store):
    """What was noted meanwhile is told when it answers again."""
    sent = Sent()
    one = worker(store, telling(bank(app()), HOOK), sent, look_s=0.01)
    asked: Any = one.alerts._store

    class Away:
        away = True

        async def ask(self, work):
            if self.away:
                raise StoreUnavailable("away")
            return await asked.ask(work)

        async def run(self, work):
            if self.away:
                raise StoreUnavailable("away")
            return await asked.run(work)

    flaky: Any = Away()
    one.alerts._store = flaky
    task = asyncio.ensure_future(one.alerts.run())
    one.alerts.note(*overrun())
    async with asyncio.timeout(30):
        while one.alerts.reachable:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)
        flaky.away = False
        while len(sent.got) < 2 or not one.alerts.reachable:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(told.kind for told in sent.got) == ["deployment_suspended", "overrun"]


async def test_over_a_real_socket_signed_and_content_free(store):
    """The body says what happened; the guard lets it to the declared origin and to no other."""
    transport = Transport(telemetry=MemoryTelemetry())
    async with hook() as there:
        way = Webhook(url=there.url, secret="env:HOOK")
        sender = Sender(transport, Secrets({"HOOK": "a-secret"}), SystemClock())
        one = worker(store, telling(bank(budgeted(alert_at=(50,))), way), sender)
        await one.spend("60.00")
        await one.alerts.step()
        (body,) = [body for body in there.bodies() if body["type"] == "borderpost.budget_threshold"]
        assert body["data"]["spent"] == "60.00"
        assert body["data"]["organisation"] == "maple"
        headers = there.got[0][0]
        assert headers["webhook-signature"].startswith("v1,")
        there.answers = [307]
        one.alerts.note(overrun()[0])
        await one.alerts.step()
        waiting = [told for told in listed(store) if told.state == rows.PENDING]
        assert [told.why for told in waiting] == ["status_307"]  # a redirect is another destination
    await transport.close()


async def test_a_sender_refuses_what_the_policy_does_not_name():
    """A receiver that is not the current policy's, or a secret that is not there: nothing is sent."""
    async with hook() as there:
        transport = Transport(telemetry=MemoryTelemetry())
        sender = Sender(transport, Secrets({}), SystemClock())
        found = telling(bank(app()), Webhook(url=there.url, secret=None))
        stranger = replace(found.alerts.receivers["one"], way=Webhook(url=there.url + "/x", secret=None))
        told: Any = None
        with pytest.raises(NotDelivered, match="not_permitted"):
            await sender(stranger, told, found)
        keyed = telling(bank(app()), Webhook(url=there.url, secret="env:HOOK"))
        with pytest.raises(NotDelivered, match="no_secret"):
            await sender(keyed.alerts.receivers["one"], told, keyed)
        assert there.got == []
        await transport.close()


def test_what_a_webhook_is_sent_has_stable_names():
    """Type, id, time and data; receivers may rely on it."""
    told = rows.Told(
        tenant="maple", key="k", destination="one", id="alert_1", kind="overrun", title="T",
        facts={"deployment": "ca"}, at_us=NOW // 1000, state="pending", tries=1, lease_us=0,
    )  # fmt: skip
    assert payload(told) == {
        "type": "borderpost.overrun",
        "id": "alert_1",
        "timestamp": "2026-11-23T19:00:00Z",
        "data": {"organisation": "maple", "title": "T", "deployment": "ca"},
    }


async def test_what_is_noted_while_others_are_told_is_told_too(store):
    """A call overruns just while this worker asks the store about an earlier alert: nothing is dropped."""
    sent = Sent()
    one = worker(store, telling(bank(app()), HOOK), sent)
    asked: Any = one.alerts._store

    class Noting:
        done = False

        async def ask(self, work):
            if not self.done:
                self.done = True
                one.alerts.note(*overrun("us"))
            return await asked.ask(work)

        async def run(self, work):
            return await asked.run(work)

    noting: Any = Noting()
    one.alerts._store = noting
    one.alerts.note(*overrun("ca"))
    await one.alerts.step()
    await one.alerts.step()
    assert {told.facts["deployment"] for told in sent.got} == {"ca", "us"}
