"""The grid: every routing order × failure × surface × plain or streamed × spoofed headers; zero bytes abroad.

``test_no_egress.py`` looks at each fault closely; this one leaves no combination out. A real gateway
stands between many callers at once and vendors in Quebec, Ontario, the US and Germany. Each order in which
a route can try the four is a route. The Canadian vendors fail in every way, one of them or both, while
every call carries another set of forged headers. The foreign vendors count what reaches their sockets.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import orjson
import pytest

from tests.acceptance import bank
from tests.acceptance.calls import PATHS, STREAMING, request
from tests.acceptance.running import Running, gateway
from tests.acceptance.test_no_egress import SPOOFS
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
FOREIGN = ("us", "eu")
AT_ONCE = 24
ORDERS = tuple(itertools.permutations(("ca", "ca_on", "us", "eu")))
WAYS = tuple(
    (surface, stream)
    for surface in ("chat", "responses", "messages", "embeddings")
    for stream in ((False, True) if surface in STREAMING else (False,))
)

OVERFLOW = {
    "message": "maximum context length is 8192 tokens",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
FAILURES: dict[str, Script] = {
    "none": Script(),
    "429": Script(status=429),
    "timeout": Script(delay_ms=600),
    "5xx": Script(status=503),
    "reset": Script(reset="before_headers"),
    "context overflow": Script(status=400, error={"error": OVERFLOW}),
    "mid-stream death": Script(die_at=2, reset=None),
    "garbage": Script(body=b"\x00\xff{garbage"),
}


def alias(order: tuple[str, ...]) -> str:
    """The route of an order."""
    return "order-" + "-".join(name.replace("_", "") for name in order)


@pytest.fixture(scope="module")
def grid(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The bank with one route for every order of its four deployments."""
    folder = tmp_path_factory.mktemp("grid")
    files = bank.bundle(places)
    for name, vendor in places.items():
        surfaces = {} if name == "ca_on" else {"surfaces": ["chat", "embeddings", "responses"]}
        files["connections.yaml"]["connections"][name] = bank.connection(
            vendor, bank.api_of(vendor), first_byte_timeout_ms=250, idle_timeout_ms=1000, **surfaces
        )
    files["routes.yaml"]["routes"] |= {alias(order): {"try": list(order)} for order in ORDERS}
    for team in files["teams.yaml"]["teams"].values():
        for app in team["apps"].values():
            app["models"] += [alias(order) for order in ORDERS]
    bank.write(folder / "policies", files)
    with gateway(folder, folder / "policies") as running:
        yield running


@dataclass(frozen=True, slots=True)
class Cell:
    """One call of the grid."""

    order: tuple[str, ...]
    surface: str
    stream: bool
    spoof: str


def cells() -> Iterator[Cell]:
    """Every order and way; the forged headers go round, so that each meets each failure and each way."""
    spoofs = itertools.cycle(SPOOFS)
    for surface, stream in WAYS:
        for order in ORDERS:
            yield Cell(order, surface, stream, next(spoofs))
        next(spoofs)  # 24 orders and 7 sets of headers: shifted, or each order would keep its set


async def ask(session: aiohttp.ClientSession, cell: Cell, us_port: int) -> tuple[int, str | None, bytes]:
    """Make one call; return its status, the place that it names, and what came back."""
    more = {"stream": True} if cell.stream else {}
    body = request(cell.surface, "the grid", model=alias(cell.order), **more)
    headers = {name: value.replace("{us}", str(us_port)) for name, value in SPOOFS[cell.spoof].items()}
    headers["content-type"] = "application/json"
    async with session.post(PATHS[cell.surface], data=orjson.dumps(body), headers=headers) as reply:
        said = await reply.read()
        return reply.status, reply.headers.get("x-borderpost-place"), said


async def run(
    running: Running, key: str, wanted: list[Cell], us_port: int
) -> list[tuple[Cell, int, str | None]]:
    """Make all calls, several at once."""
    limit = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(
        base_url=running.url,
        headers={"authorization": f"Bearer {key}"},
        connector=aiohttp.TCPConnector(limit=AT_ONCE),
        timeout=aiohttp.ClientTimeout(total=60),
    ) as session:

        async def one(cell: Cell) -> tuple[Cell, int, str | None]:
            async with limit:
                status, place, said = await ask(session, cell, us_port)
                assert b"127.0.0.1" not in said
                assert b"Traceback" not in said
                return cell, status, place

        return await asyncio.gather(*(one(cell) for cell in wanted))


@pytest.mark.slow
@pytest.mark.parametrize("down", ["first", "both"])
async def test_no_cell_of_the_grid_sends_a_byte_abroad(grid: Running, places: Places, down: str) -> None:
    """Every order × failure × surface × plain or streamed, forged headers going round: nothing, nowhere."""
    key = grid.key("teller")
    before = {name: places[name].connections for name in FOREIGN}
    outcomes: Counter[tuple[str, int]] = Counter()
    met: set[tuple[str, str]] = set()
    try:
        for name, failure in FAILURES.items():
            for vendor in places.values():
                vendor.forget()
            places["ca"].default = failure
            places["ca_on"].default = failure if down == "both" else Script()
            for cell, status, place in await run(grid, key, list(cells()), places["us"].port):
                outcomes[name, status] += 1
                met.add((cell.spoof, name))
                if status == 200:
                    assert place in {"CA-QC", "CA-ON"}, (name, cell, place)
                else:
                    assert status in {400, 403, 429, 502, 503, 504}, (name, cell, status)
            assert places["ca"].seen, name
            for foreign in FOREIGN:
                assert places[foreign].raw == b"", (name, foreign)
                assert places[foreign].connections == before[foreign], (name, foreign)
    finally:
        for vendor in places.values():
            vendor.default = Script()
    # The grid was walked: nothing left out, every forged set met every failure, and failures were failures.
    assert sum(outcomes.values()) == len(FAILURES) * len(ORDERS) * len(WAYS)
    assert met == set(itertools.product(SPOOFS, FAILURES))
    # A header may not name a label that the policy keeps from headers: doubt, so those are refused.
    refused = sum(cell.spoof.startswith("label") for cell in cells())
    assert outcomes["none", 403] == refused
    assert outcomes["none", 200] == len(ORDERS) * len(WAYS) - refused
    if down == "both":
        assert not any(status == 200 for (name, status) in outcomes if name in {"429", "5xx", "reset"})


async def test_the_same_grid_lets_public_data_go_abroad(grid: Running, places: Places) -> None:
    """The control: on these routes the foreign vendors are reached, by data that may."""
    key = grid.key("hackathon")
    abroad = [cell for cell in cells() if cell.order[0] in FOREIGN and cell.surface == "chat"]
    answers = await run(grid, key, abroad, places["us"].port)
    reached = {place for cell, _, place in answers if not cell.spoof.startswith("label")}
    assert reached == {"US", "DE"}
