"""What every acceptance suite stands on: fake vendors in places, and a real gateway process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from tests.acceptance import bank, workshop
from tests.acceptance.running import Running, gateway
from tests.fakes.vendor import FakeVendor

Start = Callable[..., Running]


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, FakeVendor]]:
    """Fake vendors by deployment id: Quebec and Ontario, the US, Germany."""
    vendors = {
        "ca": FakeVendor("openai"),
        "ca_on": FakeVendor("messages"),
        "us": FakeVendor("openai"),
        "eu": FakeVendor("openai"),
    }
    try:
        for vendor in vendors.values():
            vendor.start()
        yield vendors
    finally:
        for vendor in vendors.values():
            vendor.stop()


@pytest.fixture(scope="module")
def maple(places: dict[str, FakeVendor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for a module, over the bank's bundle."""
    folder = tmp_path_factory.mktemp("maple")
    bank.write(folder / "policies", bank.bundle(places))
    with gateway(folder, folder / "policies") as running:
        yield running


@pytest.fixture(scope="module")
def teller(maple: Running) -> str:
    """A key of the app that handles clients' data."""
    return maple.key("teller")


@pytest.fixture(scope="module")
def hackathon(maple: Running) -> str:
    """A key of the app that handles public data."""
    return maple.key("hackathon")


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> None:
    """Forget what vendors saw and were told before each test."""
    if "places" in request.fixturenames:
        vendors: dict[str, Any] = request.getfixturevalue("places")
        for vendor in vendors.values():
            vendor.forget()


@pytest.fixture(scope="module")
def shop(places: dict[str, FakeVendor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for a module, over the workshop's bundle."""
    folder = tmp_path_factory.mktemp("shop")
    bank.write(folder / "policies", workshop.bundle(places))
    with gateway(folder, folder / "policies") as running:
        yield running


@pytest.fixture(scope="module")
def shop_keys(shop: Running) -> dict[str, str]:
    """A key of each app of the workshop."""
    apps = ("teller", "printer", "pocket", "hasty", "hackathon")
    with ThreadPoolExecutor(len(apps)) as pool:  # each waits until its key is known
        return dict(zip(apps, pool.map(shop.key, apps), strict=True))


@pytest.fixture
def gpt(shop: Running, shop_keys: dict[str, str]) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK for the teller: only base URL and key changed."""
    with openai.OpenAI(base_url=f"{shop.url}/v1", api_key=shop_keys["teller"]) as client:
        yield client


@pytest.fixture
def claude(shop: Running, shop_keys: dict[str, str]) -> Iterator[anthropic.Anthropic]:
    """Anthropic's SDK for the teller: only base URL and key changed."""
    with anthropic.Anthropic(base_url=shop.url, api_key=shop_keys["teller"]) as client:
        yield client
