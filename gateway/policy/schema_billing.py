"""What ``vendors.yaml`` may say about a vendor's bill: where it is fetched, and how it is compared.

Kept by finance with vendor risk. Without it bills are imported from files and nothing is fetched.
"""

# ruff: noqa: RUF012 (pydantic copies defaults; across files ruff cannot see that these are models)

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints, model_validator

from gateway.core.bill import Billing
from gateway.core.money import NANO
from gateway.policy.schema_words import Amount, Currency, Name, Strict, Text, wrong

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def _origin(value: str) -> str:
    found = re.fullmatch(r"(https?)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?/?", value)
    if found is None:
        raise wrong("this is no origin", "write for example https://api.openai.com, no path and no key in it")
    if found[1] == "http" and found[2] not in _LOOPBACK:
        raise wrong("plain http leaves this machine unprotected", "write https")
    return value.rstrip("/")


class ExceptionsModel(Strict):
    """From which difference on a day and model needs a decision: either of the two is enough."""

    percent: Amount = "1"
    amount: Amount = "10.00"


class BillingModel(Strict):
    """How one vendor's bill comes in. ``secret`` is an admin key by reference, needed to fetch only."""

    api: Literal["openai", "anthropic"] | None = None
    url: Annotated[str, AfterValidator(_origin)] | None = None
    secret: Annotated[str, StringConstraints(pattern=r"^(file:/.+|env:[A-Za-z_][A-Za-z0-9_]*)$")] | None = (
        None
    )
    currency: Currency | None = None
    models: dict[Text, Text] = {}
    exceptions: ExceptionsModel = ExceptionsModel()

    @model_validator(mode="after")
    def _whole(self) -> BillingModel:
        given = {name for name in ("api", "url", "secret") if getattr(self, name) is not None}
        if given and len(given) < 3:
            lacking = sorted({"api", "url", "secret"} - given)
            raise wrong(f"to fetch a bill, `{lacking[0]}` is missing", "write api, url and secret, or none")
        return self


def billing(vendor: Name, model: BillingModel) -> Billing:
    """Return what was declared, compiled."""
    return Billing(
        vendor=vendor,
        api=model.api or "",
        url=model.url or "",
        secret=model.secret,
        currency=model.currency or "",
        models=dict(model.models),
        percent_ppm=_scaled(model.exceptions.percent, 10_000),
        amount_nano=_scaled(model.exceptions.amount, NANO),
    )


def _scaled(amount: str, by: int) -> int:
    return int(Decimal(amount) * by)
