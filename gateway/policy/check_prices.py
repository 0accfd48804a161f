"""What must agree between prices, and what finance will want to look at again.

Errors name both lines of what overlaps. Warnings are the slips that are really made in price
sheets (:mod:`gateway.policy.lint_prices`), and what a money budget would refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.core.tariff import TOKEN_METERS
from gateway.policy import lint_prices
from gateway.policy.bundle import Placed
from gateway.policy.checker import Checker
from gateway.policy.schema_prices import (
    Dated,
    DiscountModel,
    PriceModel,
    RateModel,
    TermsModel,
    UpliftModel,
    Validity,
)
from gateway.policy.source import Key

_FOREVER = 2**63


def prices(check: Checker, *, budgeted: bool) -> None:
    """Check every price, then what they are to each other. ``budgeted``: some budget is in money."""
    ids: dict[str, Placed[PriceModel]] = {}
    by_deployment: dict[str, list[Placed[PriceModel]]] = {}
    for placed in check.bundle.prices:
        price, document, path = placed.value, placed.document, placed.path
        if price.id in ids:
            message = f"the id `{price.id}` stands twice"
            check.error(document, (*path, "id"), message, f"the first is at {ids[price.id].at}")
        else:
            ids[price.id] = placed
        check.known(
            document, (*path, "deployment"), "deployment", [price.deployment], check.bundle.deployments
        )
        _one(check, placed)
        by_deployment.setdefault(price.deployment, []).append(placed)
    for placed in check.bundle.prices:
        _corrected(check, placed, ids)
    for of_one in by_deployment.values():
        _overlaps(check, of_one, ids)
    _rates(check)
    _conversions(check)
    if budgeted:
        document = check.document("deployments")
        for name in check.bundle.deployments:
            if name in check.bundle.connections and name not in by_deployment:
                message = f"`{name}` has no price, so calls under a money budget are refused there"
                check.warn(document, ("deployments", name), message, "add one under prices/")
    if not check.errors:
        check.warnings += [finding.problem for finding in lint_prices.lint(check.bundle, today=check.today)]


def _one(check: Checker, placed: Placed[PriceModel]) -> None:
    price, document, path = placed.value, placed.document, placed.path
    if (price.valid.to or _FOREVER) <= price.valid.from_:
        check.error(document, (*path, "valid"), "`to` is not after `from`")
    free = price.free or price.reserved is not None
    if not free and not {"input", "output"} & set(price.meters):
        message = "no price per token"
        check.error(document, (*path, "meters"), message, "write input and output, or free: true")
    if price.free and price.reserved is not None:
        check.error(document, (*path, "free"), "reserved capacity is not free", "leave free away")
    sheets: list[tuple[Key, TermsModel]] = [(("tiers", tier), terms) for tier, terms in price.tiers.items()]
    above: dict[int, int] = {}
    for i, band in enumerate(price.bands):
        if band.above in above:
            first = document.at((*path, "bands", above[band.above]))
            message = f"two bands begin above {band.above:,} tokens"
            check.error(document, (*path, "bands", i), message, f"keep one; the other is at {first}")
        above.setdefault(band.above, i)
        sheets.append((("bands", i), band))
        sheets += [(("bands", i, "tiers", tier), terms) for tier, terms in band.tiers.items()]
        for tier, terms in price.tiers.items():
            if terms.meters and tier not in band.tiers:
                message = f"the tier `{tier}` has prices of its own, but none for prompts this long"
                fix = f"write tiers: {{{tier}: {{meters: …}}}} in this band"
                check.error(document, (*path, "bands", i), message, fix)
    plain = {"input", "output"} & set(price.meters)
    for where, terms in sheets:
        named = TOKEN_METERS & set(terms.meters)
        for meter in sorted(plain - named) if named else ():
            message = f"a sheet of its own names every token meter that is used, and `{meter}` is missing"
            check.error(document, (*path, *where, "meters"), message, f"add {meter}")
    for unit in price.at_most:
        if unit in TOKEN_METERS:
            message = f"tokens are bounded by the call, `{unit}` needs no cap here"
            check.error(document, (*path, "at_most"), message, "remove it")
    _dated(check, placed, "uplifts", price.uplifts)
    _dated(check, placed, "discounts", price.discounts)


def _dated(check: Checker, placed: Placed[PriceModel], key: str, dated: Sequence[Dated]) -> None:
    """Multipliers that would both apply to the same meter at the same time would be multiplied twice."""
    document, path = placed.document, placed.path
    for i, one in enumerate(dated):
        start, end = _span(one.valid or placed.value.valid)
        if end <= start:
            check.error(document, (*path, key, i, "valid"), "`to` is not after `from`")
        for k, other in enumerate(dated[:i]):
            first, last = _span(other.valid or placed.value.valid)
            if start < last and first < end and _same(one, other):
                message = f"this overlaps the one at {document.at((*path, key, k))}"
                check.error(document, (*path, key, i), message, "end the earlier one with valid: {to: …}")


def _same(one: Dated, other: Dated) -> bool:
    match one, other:
        case UpliftModel(), UpliftModel():
            return one.where == other.where
        case DiscountModel(), DiscountModel():
            return not one.on or not other.on or bool(set(one.on) & set(other.on))
        case _:
            return False


def _span(valid: Validity) -> tuple[int, int]:
    return valid.from_, _FOREVER if valid.to is None else valid.to


def _known(price: PriceModel) -> int:
    return price.valid.from_ if price.recorded is None else price.recorded


def _corrected(check: Checker, placed: Placed[PriceModel], ids: dict[str, Placed[PriceModel]]) -> None:
    """A correction is of a known price of the same deployment, and was learned later."""
    price, document, path = placed.value, placed.document, placed.path
    if price.corrects is None:
        return
    at = (*path, "corrects")
    other = ids.get(price.corrects)
    if other is None or other.value.id == price.id:
        check.known(document, at, "price", [price.corrects], set(ids) - {price.id})
    elif other.value.deployment != price.deployment:
        check.error(document, at, f"`{price.corrects}` is a price of `{other.value.deployment}`")
    elif price.recorded is None:
        message = "a correction says when it was learned, since calls before then keep their price"
        check.error(document, at, message, "add recorded: 2026-11-20T00:00:00Z")
    elif price.recorded <= _known(other.value):
        message = f"it was not learned after the price that it corrects ({other.at})"
        check.error(document, (*path, "recorded"), message)


def _overlaps(
    check: Checker, placed: Sequence[Placed[PriceModel]], ids: dict[str, Placed[PriceModel]]
) -> None:
    for i, one in enumerate(placed):
        start, end = _span(one.value.valid)
        for other in placed[:i]:
            first, last = _span(other.value.valid)
            if start < last and first < end and not _corrects(one, other, ids):
                message = f"the price overlaps another one of `{one.value.deployment}`"
                fix = f"end the earlier one with to: `{other.value.id}` stands at {other.at}"
                check.error(one.document, (*one.path, "valid"), message, fix)


def _corrects(one: Placed[PriceModel], other: Placed[PriceModel], ids: dict[str, Placed[PriceModel]]) -> bool:
    """Whether one of the two corrects the other, directly or by way of a third."""
    return any(
        later.value.id in _chain(earlier.value, ids) for earlier, later in ((one, other), (other, one))
    )


def _chain(price: PriceModel, ids: dict[str, Placed[PriceModel]]) -> set[str]:
    seen: set[str] = set()
    while price.corrects is not None and price.corrects not in seen and price.corrects in ids:
        seen.add(price.corrects)
        price = ids[price.corrects].value
    return seen


def _rates(check: Checker) -> None:
    known: dict[tuple[str, str, int], Placed[RateModel]] = {}
    for placed in check.bundle.rates:
        rate, document, path = placed.value, placed.document, placed.path
        if rate.base == rate.quote:
            check.error(document, (*path, "quote"), f"`{rate.base}` into itself needs no rate")
        key = (rate.base, rate.quote, rate.from_)
        if key in known:
            message = f"two rates of {rate.base}/{rate.quote} begin at the same instant"
            check.error(document, (*path, "from"), message, f"keep one; the other is at {known[key].at}")
        known.setdefault(key, placed)


def _conversions(check: Checker) -> None:
    home = check.bundle.teams.currency
    pairs = {(r.value.base, r.value.quote) for r in check.bundle.rates}
    missing = {
        p.value.currency: p
        for p in check.bundle.prices
        if p.value.currency != home and not {(p.value.currency, home), (home, p.value.currency)} & pairs
    }
    for currency, placed in _items(missing):
        message = f"no rate leads from `{currency}` to `{home}`, in which budgets are kept"
        check.warn(placed.document, (*placed.path, "currency"), message, "add it to prices/fx.yaml")


def _items(missing: dict[str, Placed[PriceModel]]) -> Iterable[tuple[str, Placed[PriceModel]]]:
    return sorted(missing.items())
