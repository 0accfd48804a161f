"""``books`` in ``teams.yaml``: general-ledger accounts, and how a period is closed.

Kept by finance. An account is dated, and says which charges it is for; what it leaves out is any.
"""

# ruff: noqa: RUF012 (pydantic copies defaults; across files ruff cannot see that these are models)

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gateway.core.gl import Account, Books
from gateway.policy.schema_words import Day, Name, Strict, Text, wrong
from gateway.policy.source import Document

ChargeKind = Literal["usage", "reserved", "gpu", "adjust", "correction"]


class AccountModel(Strict):
    """A general-ledger account from a day on: a ``debit`` carries the cost, a ``credit`` what is owed."""

    account: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]*$", max_length=40)]
    from_: Day = Field(alias="from")
    side: Literal["debit", "credit"] = "debit"
    cost_centre: Text | None = None
    vendor: Name | None = None
    kind: ChargeKind | None = None

    @model_validator(mode="after")
    def _side(self) -> AccountModel:
        if self.side == "credit" and self.cost_centre is not None:
            raise wrong(
                "what is owed is owed to a vendor, not to a cost centre", "name the vendor or the kind"
            )
        return self


class BooksModel(Strict):
    """How the organisation keeps its books. ``two_people``: who closes a month needs a second person."""

    two_people: bool = False
    gl: list[AccountModel] = []

    @model_validator(mode="after")
    def _once(self) -> BooksModel:
        seen: set[tuple[object, ...]] = set()
        for item in self.gl:
            key = (item.side, item.cost_centre, item.vendor, item.kind, item.from_)
            if key in seen:
                raise wrong(
                    f"account `{item.account}` is for the same charges from the same day as one before it",
                    "keep one of the two",
                )
            seen.add(key)
        return self


def books(model: BooksModel, document: Document) -> Books:
    """Return the core's value of ``books``; each account knows its ``file:line``."""
    return Books(
        two_people=model.two_people,
        accounts=tuple(
            Account(
                account=item.account,
                from_=item.from_.isoformat(),
                side=item.side,
                cost_centre=item.cost_centre,
                vendor=item.vendor,
                kind=item.kind,
                at=document.at(("books", "gl", number)),
            )
            for number, item in enumerate(model.gl)
        ),
    )
