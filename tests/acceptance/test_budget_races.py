"""Never over budget: racing calls over workers and replicas, every level, streams that are cut.

The vendor of these suites bills what was held for a call (``usage`` is scripted to it), so that a
cap that fits three calls is used up by three, and a fourth that reached the vendor would show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import orjson
import pytest

from gateway.adapters.store_sql.engine import Store
from gateway.adapters.store_sql.schema import migrate
from gateway.core.bound import input_bound
from gateway.core.values import Surface
from tests.acceptance import bank
from tests.acceptance.calls import PATHS, Answer, Caller, request, well_ended, well_formed_error
from tests.acceptance.running import Running, eventually, gateway
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
Calling = Callable[[str], Caller]
MOST = 100  # max_tokens of a racing call
RACING = 200
NANO = 1_000_000_000


def body_of(surface: str = "chat", *, model: str = "only-ca", **more: object) -> dict[str, object]:
    """Return the call that races: always the same bytes, so that its bound is known."""
    field = {"responses": "max_output_tokens"}.get(surface, "max_tokens")
    return {**request(surface, "racing", model=model), field: MOST, **more}


def held_input(surface: str = "chat", **more: object) -> int:
    """Return the input tokens that are held for it."""
    body = body_of(surface, **more)
    bound = input_bound(Surface(surface), body, len(orjson.dumps(body)), {})
    assert isinstance(bound, int)
    return bound


def as_held(surface: str = "chat") -> Script:
    """Return a vendor's answer that bills exactly what was held."""
    text_in = held_input(surface)
    usage = {"prompt_tokens": text_in, "completion_tokens": MOST, "total_tokens": text_in + MOST}
    if surface in {"messages", "responses"}:
        usage = {"input_tokens": text_in, "output_tokens": MOST, "total_tokens": text_in + MOST}
    return Script(usage=dict(usage), delay_ms=100)


HOLD = held_input() + MOST


def cost(text_in: int, out: int) -> int:
    """Return nano-dollars at the bank's prices: 1 USD per million in, 4 out."""
    return text_in * 1000 + out * 4000


def cad(nano_usd: int) -> str:
    """Return a limit in CAD, a cent or so above what these nano-dollars are."""
    return f"{nano_usd * 13925 / 10_000 / NANO + 0.000000009:.9f}"


def with_budgets(places: Places, **apps: dict[str, Any]) -> bank.Bundle:
    """Return the bank's bundle with further apps in a team of their own, each with its budgets."""
    files = bank.bundle(places)
    models = files["teams.yaml"]["teams"]["branch"]["apps"]["teller"]["models"]
    for name, limits in apps.items():
        team = limits.pop("team", {})
        files["teams.yaml"]["teams"][f"team-{name}"] = {
            "cost_centre": [{"code": "1", "from": "2026-01-01"}],
            **team,
            "apps": {name: {"data": ["client"], "models": [*models, *limits.pop("models", [])], **limits}},
        }
    return files


async def race(urls: list[str], key: str, count: int, body: dict[str, object]) -> list[httpx.Response]:
    """Post the same call many times at once, each on its own connection, over all addresses."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
        headers = {"authorization": f"Bearer {key}"}
        return await asyncio.gather(
            *(
                client.post(f"{urls[i % len(urls)]}{PATHS['chat']}", json=body, headers=headers)
                for i in range(count)
            )
        )


def as_answer(reply: httpx.Response) -> Answer:
    """Return a reply as the suites look at it."""
    return Answer(status=reply.status_code, headers=reply.headers, raw=reply.content)


def check_race(replies: list[httpx.Response], vendor: FakeVendor, *, fits: int) -> None:
    """Assert that exactly as many were served as fit, and what the others were told."""
    served = [reply for reply in replies if reply.status_code == 200]
    assert len(served) == fits, sorted(reply.status_code for reply in replies)
    assert len(vendor.seen) == fits
    for reply in replies:
        if reply.status_code == 200:
            continue
        error = well_formed_error("chat", as_answer(reply))
        assert reply.status_code in {402, 429}, reply.text
        extension = error["borderpost"]
        assert extension["limit"], extension
        assert extension["scope"].startswith("app"), extension
        wait = int(reply.headers["retry-after"])
        if reply.status_code == 402:
            assert error["code"] == "budget_exceeded"
            assert error["type"] == "insufficient_quota"
            assert reply.headers["x-should-retry"] == "false"
            assert extension["resets"].endswith("Z")
            assert wait > 1
        else:
            assert error["code"] == "budget_contention"
            assert reply.headers["x-should-retry"] == "true"
            assert wait == 1


def check_books(running: Running, budget: str, *, rows: int, spent: int) -> None:
    """Assert that the ledger has so many rows, that it ties out with the budget, and nothing is held."""
    ledger = [row for row in running.ledger(rows) if str(row["app"]) == "racer"]
    assert len(ledger) == rows
    assert not any(row["estimated"] or row["overrun"] for row in ledger)
    assert sum(int(str(row["input"])) + int(str(row["output"])) for row in ledger) == spent
    eventually(
        lambda: running.windows(f"{budget}%") and not held_of(running, budget),
        20,
        lambda: f"{running.windows(budget + '%')}",
    )
    assert running.windows(f"{budget}%")[budget] == (spent, spent)


def held_of(running: Running, budget: str) -> int:
    """Return what is held or leased of one budget."""
    return sum(committed - spent for committed, spent in running.windows(f"{budget}%").values())


TOKENS = {"budget": {"per": "year", "tokens": 3 * HOLD + 1}}


def test_200_racing_calls_on_a_cap_that_fits_3_with_two_workers_on_sqlite(
    places: Places, tmp_path: Path
) -> None:
    """Exactly three reach the vendor; the rest are told 402 or 429, and the books tie out."""
    bank.write(tmp_path / "policies", with_budgets(places, racer={**TOKENS}))
    places["ca"].default = as_held()
    try:
        with gateway(tmp_path, tmp_path / "policies", workers="2") as running:
            key = running.key("racer")
            replies = asyncio.run(race([running.url], key, RACING, body_of()))
            check_race(replies, places["ca"], fits=3)
            # Once all is settled there is nothing to wait for: it is 402, not 429.
            check_books(running, "app:racer:tokens:year", rows=3, spent=3 * HOLD)
            for reply in asyncio.run(race([running.url], key, 10, body_of())):
                assert reply.status_code == 402
            assert len(places["ca"].seen) == 3
            assert len(running.records(RACING + 10)) == RACING + 10
    finally:
        places["ca"].default = Script()


@pytest.fixture(scope="module")
def replicas(
    places: Places, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Running]]:
    """Two replicas with data folders of their own on one PostgreSQL."""
    folder = tmp_path_factory.mktemp("replicas")
    apps = {
        "racer": {**TOKENS},
        "payer": {"budget": {"per": "year", "limit": cad(3 * cost(held_input(), MOST))}},
    }
    bank.write(folder / "policies", with_budgets(places, **apps))
    store = Store(postgres_url)
    migrate(store)
    store.close()
    with ExitStack() as stack:
        yield [
            stack.enter_context(gateway(folder / name, folder / "policies", database_url=postgres_url))
            for name in ("one", "two")
        ]


def test_200_racing_calls_on_a_cap_that_fits_3_with_two_replicas_on_postgresql(
    replicas: list[Running], places: Places
) -> None:
    """The same over two processes that share nothing but the database."""
    places["ca"].default = as_held()
    try:
        one, two = replicas
        key = one.key("racer")
        two.wait_known(key)
        replies = asyncio.run(race([one.url, two.url], key, RACING, body_of()))
        check_race(replies, places["ca"], fits=3)
        check_books(one, "app:racer:tokens:year", rows=3, spent=3 * HOLD)
    finally:
        places["ca"].default = Script()


def test_a_money_cap_holds_over_replicas_too(replicas: list[Running], places: Places) -> None:
    """Sixty racing calls on money for three: three are served, and what is spent is what they cost."""
    places["ca"].default = as_held()
    try:
        one, two = replicas
        key = one.key("payer")
        two.wait_known(key)
        replies = asyncio.run(race([one.url, two.url], key, 60, body_of()))
        check_race(replies, places["ca"], fits=3)
        rows = [row for row in one.ledger(6) if row["app"] == "payer"]
        assert [row["nano"] for row in rows] == [cost(held_input(), MOST)] * 3
        eventually(lambda: not held_of(one, "app:payer:CAD:year"), 20)
        committed, spent = one.windows("app:payer:%")["app:payer:CAD:year"]
        assert committed == spent == sum(int(str(row["spend_nano"])) for row in rows)
    finally:
        places["ca"].default = Script()


# --------------------------------------------------------------------- every level, one process

APPS = (
    "of-team", "of-app", "of-key", "of-tokens", "of-money", "unpriced", "clamped", "nothing",
    "cut-chat", "cut-messages", "cut-responses", "cut-translated",
)  # fmt: skip


@pytest.fixture(scope="module")
def levels(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Apps whose budgets bite at different levels, and deployments that stop billing when left."""
    folder = tmp_path_factory.mktemp("levels")
    one = {"per": "year", "tokens": HOLD + 10}
    files = with_budgets(
        places,
        **{
            "of-team": {"team": {"budget": one}},
            "of-app": {"budget": one},
            "of-key": {"key_budget": one},
            "of-tokens": {"budget": {"per": "day", "tokens": HOLD + 10}},
            "of-money": {"budget": {"per": "month", "limit": cad(cost(HOLD, MOST))}},
            "unpriced": {"budget": {"per": "year", "limit": "100.00"}, "models": ["no-price"]},
            "clamped": {"budget": {"per": "year", "tokens": held_input() + 40}},
            "nothing": {"budget": {"per": "year", "tokens": 0}},
            "cut-chat": {"budget": {"per": "year", "tokens": 6000}},
            "cut-messages": {"budget": {"per": "year", "tokens": 6000}},
            "cut-responses": {"budget": {"per": "year", "tokens": 6000}},
            "cut-translated": {"budget": {"per": "year", "tokens": 6000}},
        },
    )
    for name, vendor in places.items():
        files["connections.yaml"]["connections"][name] = bank.connection(
            vendor,
            bank.api_of(vendor),
            **({} if name == "ca_on" else {"surfaces": ["chat", "embeddings", "responses"]}),
        )
        files["deployments.yaml"]["deployments"][name] |= {
            "stops_billing_on_disconnect": True,
            "abort_lag_tokens": 64,
            "max_output_tokens": 100_000,
        }
    files["policy.yaml"]["rules"][-1]["do"] = [{"answer_tokens": {"at_most": 50_000}}]
    # A deployment that nobody has priced.
    files["deployments.yaml"]["deployments"]["odd"] = bank.facts("CA-QC")
    files["connections.yaml"]["connections"]["odd"] = bank.connection(places["ca"])
    files["routes.yaml"]["routes"]["no-price"] = {"try": ["odd"]}
    bank.write(folder / "policies", files)
    with gateway(folder, folder / "policies") as running:
        yield running


@pytest.fixture(scope="module")
def keys(levels: Running) -> dict[str, str]:
    """A key of each app."""
    return dict(zip(APPS, levels.keys_of(APPS), strict=True))


@pytest.fixture
def calling(levels: Running, keys: dict[str, str]) -> Iterator[Calling]:
    """Return what makes a caller of an app."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(Caller(levels.url, keys[app]))


@pytest.mark.parametrize(
    ("app", "scope"),
    [
        ("of-team", "team `team-of-team`"),
        ("of-app", "app `of-app`"),
        ("of-key", "key `"),
        ("of-tokens", "app `of-tokens`"),
        ("of-money", "app `of-money`"),
    ],
)
def test_each_level_bites(places: Places, calling: Calling, app: str, scope: str) -> None:
    """One call fits, the next is refused by the level that is used up, in every surface's shape."""
    places["ca"].default = as_held()
    try:
        caller = calling(app)
        assert caller.post("chat", body_of()).status == 200
        for surface in ("chat", "messages", "responses", "embeddings"):
            answer = caller.post(surface, body_of(surface) if surface != "embeddings" else big_embedding())
            assert answer.status == 402, answer.raw
            error = well_formed_error(surface, answer)
            assert scope in error["message"]
            assert error["borderpost"]["scope"].startswith(scope.rstrip("`"))
            assert answer.headers["x-should-retry"] == "false"
            assert int(answer.headers["retry-after"]) > 1
        assert len(places["ca"].seen) == 1
    finally:
        places["ca"].default = Script()


def big_embedding() -> dict[str, object]:
    """Return an embeddings call that needs more than what the others leave."""
    return request("embeddings", "word " * 400, model="only-ca")


def test_the_organisations_budget_bites_over_all_teams(places: Places, tmp_path: Path) -> None:
    """What one team has spent another cannot spend again."""
    files = bank.bundle(places)
    files["teams.yaml"]["budget"] = {"per": "year", "tokens": HOLD + 10}
    bank.write(tmp_path / "policies", files)
    places["ca"].default = as_held()
    try:
        with gateway(tmp_path, tmp_path / "policies") as running:
            one, two = running.keys_of(["teller", "hackathon"])
            with Caller(running.url, one) as teller, Caller(running.url, two) as other:
                assert teller.post("chat", body_of()).status == 200
                answer = other.post("chat", body_of())
                assert answer.status == 402
                assert "org `maple-bank`" in well_formed_error("chat", answer)["message"]
                assert len(places["ca"].seen) == 1
    finally:
        places["ca"].default = Script()


def test_the_official_sdks_do_not_retry_a_budget_that_is_used_up(
    levels: Running, keys: dict[str, str], places: Places
) -> None:
    """One request each, although both SDKs retry twice by default."""
    key = keys["nothing"]
    with (
        openai.OpenAI(base_url=f"{levels.url}/v1", api_key=key) as client,
        pytest.raises(openai.APIStatusError) as refused,
    ):
        client.chat.completions.create(
            model="only-ca", messages=[{"role": "user", "content": "x"}], max_tokens=10
        )
    assert refused.value.status_code == 402
    with (
        anthropic.Anthropic(base_url=levels.url, api_key=key) as claude,
        pytest.raises(anthropic.APIStatusError) as turned,
    ):
        claude.messages.create(model="only-ca", max_tokens=10, messages=[{"role": "user", "content": "x"}])
    assert turned.value.status_code == 402
    levels.wait_projected()
    assert len(levels.rows("SELECT * FROM records WHERE app = 'nothing'")) == 2
    assert places["ca"].seen == []


def test_a_model_without_a_price_is_refused_where_money_counts(places: Places, calling: Calling) -> None:
    """Unknown is not zero: 403, nothing sent."""
    caller = calling("unpriced")
    for surface in ("chat", "messages"):
        answer = caller.post(surface, body_of(surface, model="no-price"))
        assert answer.status == 403, answer.raw
        error = well_formed_error(surface, answer)
        code = error["borderpost"]["code"] if surface == "messages" else error["code"]
        assert code == "price_unknown"
        assert "price" in error["message"]
    assert places["ca"].raw == b""


def test_an_answer_is_clamped_to_what_is_left_and_a_header_says_so(places: Places, calling: Calling) -> None:
    """The vendor is sent the smaller max_tokens; the caller reads it in a header."""
    text_in = held_input()
    all_of_it = {"prompt_tokens": text_in, "completion_tokens": 30, "total_tokens": text_in + 30}
    places["ca"].script(Script(usage=dict(all_of_it)))
    caller = calling("clamped")
    answer = caller.post("chat", body_of())
    assert answer.status == 200, answer.raw
    assert answer.headers["x-borderpost-max-tokens"] == "40"
    assert places["ca"].seen[0].json["max_tokens"] == 40
    # Ten tokens are left, and not even the prompt fits: refused, not clamped to nothing.
    assert caller.post("chat", body_of()).status == 402
    assert len(places["ca"].seen) == 1


@pytest.mark.parametrize(
    ("app", "surface", "vendor"),
    [
        ("cut-chat", "chat", "ca"),
        ("cut-messages", "messages", "ca_on"),
        ("cut-responses", "responses", "ca"),
        ("cut-translated", "messages", "ca"),
    ],
)
def test_a_stream_that_outgrows_its_budget_ends_as_its_surface_ends(
    levels: Running, places: Places, calling: Calling, app: str, surface: str, vendor: str
) -> None:
    """An endless stream is cut: the surface's own ending, the reason in an extension, the vendor hung up."""
    places[vendor].script(Script(endless=True))
    field = {"responses": "max_output_tokens"}.get(surface, "max_tokens")
    more: dict[str, object] = {field: 40_000, "stream": True}
    model = f"only-{vendor.replace('_', '-')}"
    answer = calling(app).post(surface, {**request(surface, "go on", model=model), **more})
    well_ended(surface, answer)
    assert answer.error is None
    events = answer.events
    match surface:
        case "chat":
            last = next(e for _, e in reversed(events) if e and e.get("choices"))
            assert last["choices"][0]["finish_reason"] == "length"
            assert any((e or {}).get("borderpost") == {"ended_by": "budget"} for _, e in events)
        case "messages":
            delta = next(e for name, e in events if name == "message_delta")
            assert delta["delta"]["stop_reason"] == "max_tokens"
            assert delta["borderpost"] == {"ended_by": "budget"}
        case _:
            last = events[-1][1]["response"]
            assert last["status"] == "incomplete"
            assert last["incomplete_details"] == {"reason": "max_output_tokens"}
            assert last["borderpost"] == {"ended_by": "budget"}
    seen = places[vendor].seen[0]
    assert seen.gone.wait(2)
    booked = f"SELECT * FROM ledger WHERE app = '{app}'"
    eventually(lambda: levels.rows(booked), 8)
    (row,) = levels.rows(booked)
    assert row["status"] == "cut"
    assert row["estimated"]
    assert int(str(row["nano"])) >= cost(seen.billed.input, seen.billed.output)
    ((committed, spent),) = levels.windows(f"app:{app}:%").values()
    assert committed <= 6000
    assert seen.billed.input + seen.billed.output <= spent <= 6000
