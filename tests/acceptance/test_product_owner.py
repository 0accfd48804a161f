"""The product owner: thumbs reach the very call, count once, and come back with honest intervals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

import httpx
import openai
import pytest

from gateway.core.feedback import wilson
from gateway.core.ids import RANDOM_BYTES, IdIssuer
from tests.acceptance import bank
from tests.acceptance.commands import admin_tokens, on
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor

Places = dict[str, FakeVendor]
ASKED: Any = [{"role": "user", "content": "What are your hours?"}]
MONTH = datetime.now(UTC).astimezone(ZoneInfo("America/Toronto")).strftime("%Y-%m")
SIN = "046 454" + " 286"


@pytest.fixture(scope="module")
def product(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A gateway, its finance token, and an app that rates."""
    folder = tmp_path_factory.mktemp("product")
    bank.write(folder / "policies", bank.bundle(places))
    file, tokens = admin_tokens(folder, "finance")
    running = Running(
        folder=folder,
        policies=folder / "policies",
        settings={"BORDERPOST_ADMIN_TOKEN_FILE": str(file)},
    )
    try:
        running.start()
        with Product(running, tokens["finance"]) as product:
            yield product
    finally:
        running.kill()


class Product:
    """What the app of a product owner does."""

    def __init__(self, running: Running, finance: str) -> None:
        self.running = running
        self.finance = finance
        key = running.key("teller")
        self.gpt = openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)
        self.http = httpx.Client(
            base_url=running.url, headers={"authorization": f"Bearer {key}"}, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.gpt.close()
        self.http.close()

    def ask(self, model: str = "only-ca", **more: Any) -> tuple[str, str]:
        """Make a call; return its ``x-request-id`` and the reply's own id."""
        raw = self.gpt.chat.completions.with_raw_response.create(model=model, messages=ASKED, **more)
        return raw.headers["x-request-id"], raw.parse().id

    def rate(self, target: str, value: object = "up", **more: object) -> httpx.Response:
        """Rate a reply."""
        return self.http.post("/v1/feedback", json={"target": target, "value": value, **more})

    def counted(self, call: str) -> list[dict[str, object]]:
        """Return the ratings of a call that count now."""
        found = self.running.rows("SELECT * FROM feedback ORDER BY received_us")
        return [row for row in found if row["call_id"] == call]

    def line(self, alias: str) -> dict[str, Any]:
        """Return one alias's line of the summary over HTTP."""
        got = httpx.get(
            f"{self.running.url}/v1/feedback/summary",
            params={"month": MONTH},
            headers={"authorization": f"Bearer {self.finance}"},
            trust_env=False,
        )
        assert got.status_code == 200, got.text
        return next((row for row in got.json()["rows"] if row["alias"] == alias), {})


def test_a_thumb_is_taken_at_once(product: Product) -> None:
    """By ``x-request-id``, before anything is projected; and for a stream, before it has ended."""
    call, _ = product.ask()
    answer = product.rate(call, "up", rater="user-1")
    assert answer.status_code == 201, answer.text
    assert answer.json()["target"] == call
    with product.gpt.chat.completions.with_streaming_response.create(
        model="only-ca", messages=ASKED, stream=True
    ) as streamed:
        running = streamed.headers["x-request-id"]
        assert product.rate(running, "down").status_code == 201
        for _ in streamed.iter_bytes():
            pass
    assert [row["thumb"] for row in product.counted(call)] == [1]
    assert [row["thumb"] for row in product.counted(running)] == [0]


def test_each_choice_has_a_thumb_of_its_own(product: Product) -> None:
    """Two choices of one call are rated apart, by the id, a dot and the index."""
    call, _ = product.ask(n=2)
    assert product.rate(f"{call}.0", "up").status_code == 201
    assert product.rate(f"{call}.1", "down").status_code == 201
    assert [(row["choice"], row["thumb"]) for row in product.counted(call)] == [(0, 1), (1, 0)]
    assert product.rate(f"{call}.01").status_code == 404


def test_a_thumb_by_the_replys_own_id(product: Product) -> None:
    """The id that the SDK shows works once the call is projected, and lands on the same call."""
    call, own = product.ask()
    eventually(lambda: product.rate(own, "up", feedback_id=f"own-{own}").status_code in {200, 201}, 8)
    assert [row["thumb"] for row in product.counted(call)] == [1]


def test_a_retry_counts_once(product: Product) -> None:
    """The same rating under the same ``feedback_id`` is 200 and counted once; another one is a conflict."""
    call, _ = product.ask()
    first = product.rate(call, "up", feedback_id="retry-1", rater="user-1")
    again = product.rate(call, "up", feedback_id="retry-1", rater="user-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = product.rate(call, "down", feedback_id="retry-1", rater="user-1")
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "idempotency_conflict"
    assert [row["thumb"] for row in product.counted(call)] == [1]


def test_a_change_of_mind_supersedes(product: Product) -> None:
    """One rater, one verdict: the new value counts; another rater's stands beside it; history stays."""
    call, _ = product.ask()
    for value, rater in (("up", "ann"), ("down", "bob"), ("down", "ann")):
        assert product.rate(call, value, rater=rater).status_code == 201
    assert [row["thumb"] for row in product.counted(call)] == [0, 0]
    history = product.running.rows("SELECT * FROM feedback_history ORDER BY received_us")
    assert [row["thumb"] for row in history if row["call_id"] == call] == [1, 0, 0]
    assert b"ann" not in {str(row["rater"]).encode() for row in history}


def test_unknown_and_foreign_are_the_same_404(product: Product) -> None:
    """Nobody can find out by rating whether somebody else's call exists."""
    call, own = product.ask()
    foreign = IdIssuer(key=b"another organisation's key, 32 bytes or more").request(
        "CA-QC", now=1_795_460_400_000_000_000, random=bytes(RANDOM_BYTES)
    )
    forged = call[:-1] + ("0" if call[-1] != "0" else "1")
    answers = [product.rate(target) for target in (foreign, forged, "chatcmpl-nobodys", f"{own}x", "x")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["error"]["code"] == "target_not_found"


def test_a_comment_is_masked_before_it_is_kept(product: Product) -> None:
    """A SIN and an address in a comment are in no byte that was written, and the rest is sealed."""
    call, _ = product.ask()
    answer = product.rate(
        call, "down", comment=f"wrong: my SIN is {SIN}, mail zoe@maple.example", rater="zoe.t@maple.example"
    )
    assert answer.json()["comment"] == "masked"
    (row,) = product.counted(call)
    assert row["comment"] is None, "comments are sealed, in the content store"
    assert product.running.rows("SELECT kind FROM content") == [{"kind": "feedback.comment"}]
    written = product.running.everything_written()
    for secret in (SIN, "zoe@maple.example", "zoe.t@maple.example", "wrong: my SIN is"):
        assert secret.encode() not in written


def test_wrong_ratings_are_told_apart(product: Product) -> None:
    """A misspelt field, a value that is none and a missing key get a 400 or 401 that says so."""
    call, _ = product.ask()
    misspelt = product.http.post("/v1/feedback", json={"target": call, "vote": "up"})
    assert (misspelt.status_code, misspelt.json()["error"]["param"]) == (400, "vote")
    assert product.rate(call, "maybe").json()["error"]["param"] == "value"
    without = httpx.post(
        f"{product.running.url}/v1/feedback", json={"target": call, "value": "up"}, trust_env=False
    )
    assert without.status_code == 401


def test_the_summary_says_how_sure_it_is(product: Product) -> None:
    """Per alias: thumbs, the share with its Wilson interval, the response rate, what is too little."""
    calls = [product.ask("only-ca-on")[0] for _ in range(10)]
    for number, call in enumerate(calls[:5]):
        assert product.rate(call, "up" if number < 4 else "down").status_code == 201
    eventually(lambda: product.line("only-ca-on").get("calls") == 10, 8)
    line = product.line("only-ca-on")
    expected = wilson(4, 5)
    assert expected is not None
    assert (line["up"], line["down"], line["response_rate"]) == (4, 1, 0.5)
    assert line["good"] == 0.8
    assert line["good_95"] == [round(expected.low, 4), round(expected.high, 4)] == [0.3755, 0.9638]
    assert line["enough"] is False
    done = on(product.running, "feedback", "summary", "--month", MONTH)
    row = next(text for text in done.stdout.splitlines() if text.startswith("only-ca-on"))
    assert "insufficient data" in row
    assert "80%" in row
