"""A model of litellm's price map → an entry of ``prices/*.yaml``, with what was assumed and left out.

Pure: entries in, text out; who reads the map and writes the file is the command's business.
Amounts are exact: the map's numbers come as decimals, and per token becomes per million by
moving the point. What the map says and a price cannot is named, never dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, localcontext

from gateway.policy.schema_prices import METERS, TOKEN_NAMES
from gateway.policy.source import quoted

PER = 1_000_000

# Longest first: a name may begin another one.
_TOKEN_FIELDS: Mapping[str, str] = {
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "cache_read_input_image_token_cost": "cache_read_image",
    "cache_read_input_token_cost": "cache_read",
    "output_cost_per_reasoning_token": "reasoning",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_token": "output",
    "input_cost_per_audio_token": "input_audio",
    "input_cost_per_image_token": "input_image",
    "input_cost_per_video_token": "input_video",
    "input_cost_per_token": "input",
}
_UNIT_FIELDS: Mapping[str, str] = {
    "input_cost_per_request": "request",
    "input_cost_per_query": "search_unit",
    "ocr_cost_per_page": "page",
    "output_cost_per_image": "image",
    "input_cost_per_second": "audio_second",
    "input_cost_per_video_per_second": "video_second",
    "input_cost_per_character": "character",
    "code_interpreter_cost_per_session": "code_session",
}
_TIERS = {"batches": "batch", "flex": "flex", "priority": "priority"}
_FIELD = re.compile(rf"({'|'.join(_TOKEN_FIELDS)})(?:_above_(\d+)k_tokens)?(?:_({'|'.join(_TIERS)}))?")
# Prices that follow from another where the map has none: the vendor bills these as plain text.
_AS_INPUT = {
    "supports_vision": ("input_image", "cache_read_image"),
    "supports_audio_input": ("input_audio", "cache_read_audio"),
    "supports_video_input": ("input_video", None),
}
_COSTLY = re.compile(r"cost|pric|multiplier")

Sheet = dict[str, Decimal]


class NotImportable(Exception):
    """A model that makes no price; the text says why."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A price in the making, per million tokens and per single unit.

    ``assumed`` and ``left_out`` are sentences for whoever approves it; ``doubts`` are lints
    of the map itself: (code, sentence).
    """

    model: str
    meters: Sheet
    tiers: dict[str, Sheet] = field(default_factory=dict)
    times: dict[str, Decimal] = field(default_factory=dict)  # tier → factor
    bands: dict[int, Sheet] = field(default_factory=dict)
    band_tiers: dict[int, dict[str, Sheet]] = field(default_factory=dict)
    uplifts: dict[str, Decimal] = field(default_factory=dict)
    retires: date | None = None
    source: str = ""
    assumed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    doubts: list[tuple[str, str]] = field(default_factory=list)


def draft(
    models: Mapping[str, Mapping[str, object]],
    model: str,
    *,
    region: str | None = None,
    tiers: frozenset[str] = frozenset(),
) -> Draft:
    """Return the draft of one model. ``region`` (us, eu, regional) asks for that endpoint's uplift.

    ``tiers`` are those dearer than the standard one that the deployment may be billed at: each
    makes every hold as large as itself, so none is taken unasked.

    Raises NotImportable.
    """
    entry = models[model]
    made = Draft(model=model, meters={})
    used = {"search_context_cost_per_query", "provider_specific_entry", "tiered_pricing"}
    for name, value in sorted(entry.items()):
        match = _FIELD.fullmatch(name)
        if match is not None:
            used.add(name)
            amount = _decimal(model, name, value)
            if amount is not None:
                _put(made, match, amount * PER)
        elif name in _UNIT_FIELDS:
            used.add(name)
            amount = _decimal(model, name, value)
            if amount:
                made.meters[_UNIT_FIELDS[name]] = amount
    _ranges(made, entry)
    _searches(made, entry)
    used |= _uplifts(made, entry, region)
    if "input" not in made.meters:
        raise NotImportable(f"`{model}` has no price per input token in the map (no_input_price)")
    _images(made, entry)
    _fill(made)
    _dearer(made, tiers)
    if entry.get("deprecation_date") is not None:
        made.retires = _day(entry["deprecation_date"])
    made.source = str(entry.get("source") or "")
    made.left_out += [
        f"`{name}` has no place in a price"
        for name, value in sorted(entry.items())
        if name not in used and _COSTLY.search(name) and value not in (None, {}, [], 0)
    ]
    _doubt(made, models)
    return made


def _decimal(model: str, name: str, value: object) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise NotImportable(f"`{model}`: `{name}` is no number")
    amount = Decimal(value)
    if amount < 0:
        raise NotImportable(f"`{model}`: `{name}` is negative")
    return amount


def _put(made: Draft, match: re.Match[str], amount: Decimal) -> None:
    """Put an amount into the sheet that its name means."""
    meter, above, tier = _TOKEN_FIELDS[match[1]], match[2], _TIERS.get(match[3] or "")
    if above is None:
        sheet = made.meters if tier is None else made.tiers.setdefault(tier, {})
    elif tier is None:
        sheet = made.bands.setdefault(int(above) * 1_000, {})
    else:
        sheet = made.band_tiers.setdefault(int(above) * 1_000, {}).setdefault(tier, {})
    sheet[meter] = amount


def _ranges(made: Draft, entry: Mapping[str, object]) -> None:
    """Read ``tiered_pricing``: ranges of prompt lengths, each with a sheet of its own."""
    ranges = entry.get("tiered_pricing")
    for one in ranges if isinstance(ranges, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("range"), list):
            made.left_out.append("a range of `tiered_pricing` cannot be read")
            continue
        start = int(Decimal(one["range"][0]))
        sheet = made.meters if start == 0 else made.bands.setdefault(start, {})
        for name, value in one.items():
            if name in _TOKEN_FIELDS:
                amount = _decimal(made.model, name, value)
                if amount is not None:
                    sheet[_TOKEN_FIELDS[name]] = amount * PER
            elif name != "range" and _COSTLY.search(name):
                made.left_out.append(f"`{name}` of `tiered_pricing` has no place in a price")


def _searches(made: Draft, entry: Mapping[str, object]) -> None:
    sizes = entry.get("search_context_cost_per_query")
    if isinstance(sizes, dict):
        amounts = [_decimal(made.model, name, value) for name, value in sizes.items()]
        dearest = max((amount for amount in amounts if amount is not None), default=Decimal(0))
        if dearest:
            made.meters["web_search"] = dearest
            if len({amount for amount in amounts if amount is not None}) > 1:
                made.assumed.append("web searches cost as those with the largest context")


def _uplifts(made: Draft, entry: Mapping[str, object], region: str | None) -> set[str]:
    specific = entry.get("provider_specific_entry")
    for name, value in specific.items() if isinstance(specific, dict) else ():
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            continue
        if name == "fast":
            made.times["fast"] = Decimal(value)
        else:
            made.uplifts[str(name)] = Decimal(value)
    names = {
        "us": "regional_processing_uplift_multiplier_us",
        "eu": "regional_processing_uplift_multiplier_eu",
        "regional": "regional_endpoint_uplift_multiplier",
    }
    for word, name in names.items():
        times = entry.get(name)
        if isinstance(times, int | Decimal) and not isinstance(times, bool):
            if region == word:
                made.uplifts["always"] = Decimal(times)
            else:
                made.left_out.append(f"`{name}` ({times}) is not applied: ask for it with --region {word}")
    return set(names.values())


def _images(made: Draft, entry: Mapping[str, object]) -> None:
    """Media that the map has no price for are billed as text: say so in the price itself."""
    for feature, (fresh, kept) in _AS_INPUT.items():
        if entry.get(feature) is not True or fresh in made.meters:
            continue
        made.assumed.append(f"`{fresh}` tokens cost as `input`: the map has no price of their own")
        sheets = [made.meters, *made.tiers.values(), *made.bands.values()]
        sheets += [sheet for tiers in made.band_tiers.values() for sheet in tiers.values()]
        for sheet in sheets:
            if "input" in sheet:
                sheet.setdefault(fresh, sheet["input"])
            if kept is not None and "cache_read" in sheet:
                sheet.setdefault(kept, sheet["cache_read"])


def _fill(made: Draft) -> None:
    """Complete sheets that lack meters of the base, at the factor by which their input differs.

    A sheet without a price for input is left out: nothing says what it would be.
    """
    for tier in sorted(made.tiers):
        if not _completed(made, f"the tier `{tier}`", made.tiers[tier], made.meters):
            del made.tiers[tier]
    for above in sorted(made.bands):
        if not _completed(made, f"prompts above {above:,}", made.bands[above], made.meters):
            del made.bands[above]
    for above, sheet in made.bands.items():
        own = made.band_tiers.setdefault(above, {})
        for tier in sorted({*made.tiers, *own}):
            named = f"the tier `{tier}` for prompts above {above:,}"
            if tier not in made.tiers:
                made.left_out.append(f"{named}: the tier has no price for shorter prompts")
                del own[tier]
                continue
            known = own.setdefault(tier, {})
            if "input" not in known:
                factor = _ratio(made.tiers[tier]["input"], made.meters["input"])
                if factor is not None:
                    known["input"] = sheet["input"] * factor
                    made.assumed.append(f"{named} costs {factor} times the standard tier")
            if not _completed(made, named, known, sheet):
                del own[tier]
                del made.tiers[tier]


def _dearer(made: Draft, wanted: frozenset[str]) -> None:
    """Leave dearer tiers out that nobody asked for."""
    dear = {tier for tier, sheet in made.tiers.items() if sheet["input"] > made.meters["input"]}
    dear |= {tier for tier, times in made.times.items() if times > 1}
    for tier in sorted(dear - wanted):
        made.tiers.pop(tier, None)
        made.times.pop(tier, None)
        for own in made.band_tiers.values():
            own.pop(tier, None)
        made.left_out.append(
            f"the tier `{tier}`: holds would cover it; if this deployment can be billed at it, --tier {tier}"
        )


def _completed(made: Draft, named: str, sheet: Sheet, base: Sheet) -> bool:
    missing = sorted(name for name in base if name in TOKEN_NAMES and name not in sheet)
    if not missing:
        return True
    factor = _ratio(sheet["input"], base["input"]) if "input" in sheet else None
    if factor is None:
        made.left_out.append(f"{named}: no price of input, or none that can be compared")
        return False
    for name in missing:
        sheet[name] = base[name] * factor
    made.assumed.append(f"{named}: {', '.join(missing)} at {factor} times the base, as input")
    return True


def _ratio(amount: Decimal, base: Decimal) -> Decimal | None:
    """Return the exact quotient, or None where it is no decimal."""
    if not base:
        return None
    with localcontext() as context:
        context.prec = 18
        quotient = (amount / base).normalize()
    return quotient if quotient * base == amount else None


_DATE = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2})$")


def _doubt(made: Draft, models: Mapping[str, Mapping[str, object]]) -> None:
    """Note what in the map itself asks for a second look."""
    entry = models[made.model]
    if not made.meters["input"]:
        made.doubts.append(("no_input_price", f"`{made.model}` costs nothing per input token in the map"))
    if entry.get("supports_prompt_caching") is True and "cache_read" not in made.meters:
        made.doubts.append(
            ("missing_cache_read", f"`{made.model}` caches prompts, and the map has no price for reads")
        )
    base = _DATE.sub("", made.model)
    fields = ("input_cost_per_token", "output_cost_per_token")
    for name, other in sorted(models.items()):
        alias = base in {name, made.model}  # one of the two bears no date
        if name == made.model or _DATE.sub("", name) != base or not alias:
            continue
        if any(entry.get(each) != other.get(each) for each in fields):
            message = f"`{made.model}` costs unlike `{name}`, the same model by another name"
            made.doubts.append(("alias_unlike_snapshot", message))


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        return None


# ------------------------------------------------------------------------ as YAML


def entry_text(
    made: Draft,
    *,
    name: str,
    deployment: str,
    valid_from: str,
    recorded: str,
    source: str,
    approved_by: Iterable[str],
) -> str:
    """Return the price as an item of a ``prices/*.yaml`` list."""
    lines = [f"# {sentence}" for sentence in made.assumed]
    lines += [f"# not imported: {sentence}" for sentence in made.left_out]
    lines += [
        f"- id: {name}",
        f"  deployment: {deployment}",
        "  currency: USD",
        f"  per: {PER}",
        "  unit: tokens",
        f"  meters: {_sheet(made.meters)}",
    ]
    if made.tiers or made.times:
        lines.append("  tiers:")
        lines += [f"    {tier}: {{meters: {_sheet(sheet)}}}" for tier, sheet in sorted(made.tiers.items())]
        lines += [f'    {tier}: {{times: "{_amount(times)}"}}' for tier, times in sorted(made.times.items())]
    if made.bands:
        lines.append("  bands:")
    for above, sheet in sorted(made.bands.items()):
        lines += [f"    - above: {above}", f"      meters: {_sheet(sheet)}"]
        if made.band_tiers.get(above):
            lines.append("      tiers:")
            lines += [
                f"        {tier}: {{meters: {_sheet(own)}}}"
                for tier, own in sorted(made.band_tiers[above].items())
            ]
    if made.uplifts:
        lines.append("  uplifts:")
        lines += [
            f'    - {{where: {where}, times: "{_amount(times)}", source: {quoted(source)}}}'
            for where, times in sorted(made.uplifts.items())
        ]
    lines += [f"  valid: {{from: {valid_from}}}", f"  recorded: {recorded}"]
    if made.retires is not None:
        lines.append(f"  retires: {made.retires.isoformat()}")
    lines.append(f"  source: {quoted(source)}")
    approvers = list(approved_by)
    if approvers:
        lines.append(f"  approved_by: [{', '.join(approvers)}]")
    return "\n".join(lines) + "\n"


def _sheet(sheet: Sheet) -> str:
    ordered = sorted(sheet.items(), key=lambda item: METERS.index(item[0]))
    return "{" + ", ".join(f'{name}: "{_amount(amount)}"' for name, amount in ordered) + "}"


def _amount(amount: Decimal) -> str:
    """Return an amount as digits, with two decimals at least."""
    whole, _, decimals = format(amount, "f").partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def ended(text: str, line: int, until: str) -> str | None:
    """Return a file's text in which the validity whose ``from`` stands at a line (from 1) ends.

    None where the line is written in a way that this cannot change safely.
    """
    lines = text.splitlines(keepends=True)
    if not 0 < line <= len(lines):
        return None
    found = lines[line - 1]
    flow = re.fullmatch(r"(.*valid:\s*\{\s*from:\s*[^,{}#]*?)\s*\}(.*\n?)", found, re.DOTALL)
    if flow is not None:
        lines[line - 1] = f"{flow[1]}, to: {until}}}{flow[2]}"
        return "".join(lines)
    block = re.fullmatch(r"(\s*)from:\s*[^#{}\[\]]+(#.*)?\n?", found)
    if block is not None:
        lines.insert(line, f"{block[1]}to: {until}\n")
        return "".join(lines)
    return None
