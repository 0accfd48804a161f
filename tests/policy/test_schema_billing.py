"""``billing`` in vendors.yaml: exact thresholds, an origin, and no half a way to fetch."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.policy.schema_billing import BillingModel, billing


def test_thresholds_are_exact() -> None:
    found = billing("openai", BillingModel(exceptions={"percent": "0.5", "amount": "12.345"}))
    assert (found.percent_ppm, found.amount_nano) == (5_000, 12_345_000_000)
    usual = billing("openai", BillingModel())
    assert (usual.percent_ppm, usual.amount_nano, usual.api) == (10_000, 10_000_000_000, "")


def test_a_way_to_fetch_is_whole() -> None:
    way = {"api": "openai", "url": "https://api.openai.com/", "secret": "file:/run/secrets/admin"}
    assert billing("openai", BillingModel(**way)).url == "https://api.openai.com"
    for name in way:
        with pytest.raises(ValidationError, match=f"`{name}` is missing"):
            BillingModel(**{key: value for key, value in way.items() if key != name})


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com",
        "https://user:pw@api.openai.com",
        "https://api.openai.com/v1",
        "api.openai.com",
        "https://a?x=1",
    ],
)
def test_what_is_no_safe_origin_is_refused(url) -> None:
    with pytest.raises(ValidationError, match=r"origin|unprotected"):
        BillingModel(api="openai", url=url, secret="env:ADMIN")


@pytest.mark.parametrize("secret", ["sk-something", "file:relative", "env:"])
def test_a_secret_is_a_reference(secret) -> None:
    with pytest.raises(ValidationError):
        BillingModel(api="openai", url="https://api.openai.com", secret=secret)
