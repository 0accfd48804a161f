"""``borderpost prices import``: models of litellm's map into the bundle's price files, all of them or none.

The new files are made in memory, loaded with the rest of the bundle, checked and linted; only
then one file after the other is replaced, each whole.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gateway.adapters.upstreams.litellm_prices import PriceMap
from gateway.policy.bundle import Bundle, Placed
from gateway.policy.import_prices import Draft, NotImportable, draft, ended, entry_text
from gateway.policy.lint_prices import CODES, lint
from gateway.policy.load import bundle_of
from gateway.policy.problems import did_you_mean
from gateway.policy.schema_prices import PriceModel

_SECOND = 1_000_000_000

# How litellm's map names what a connection of each API calls its model.
_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "openai": ("", "openai/"),
    "azure_openai": ("azure/", ""),
    "anthropic": ("", "anthropic/"),
    "bedrock": ("", "bedrock/"),
    "gemini": ("gemini/",),
}


class ImportRefused(Exception):
    """Nothing was imported; the text says why, a line for each reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to import: ``models`` by deployment, "" where the connection's own is meant."""

    models: Mapping[str, str]
    provider: str | None
    valid_from: int
    region: str | None
    tiers: frozenset[str]
    into: str | None
    accepted: frozenset[str]
    approved_by: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Plan:
    """Files to write, and what whoever approves them should read."""

    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    inserted: dict[str, list[int]] = field(default_factory=dict)  # file → lines after which one was added


def plan(bundle: Bundle, files: Mapping[str, bytes], prices: PriceMap, asked: Asked, *, now: int) -> Plan:
    """Return what an import would write.

    Raises ImportRefused, and PolicyErrors of the bundle that it would make.
    """
    made = Plan()
    whole = dict(files)
    names: set[str] = set()
    refused: list[str] = []
    for deployment in sorted(asked.models):
        try:
            model = _model(bundle, prices, deployment, asked)
            found = draft(prices.models, model, region=asked.region, tiers=asked.tiers)
        except NotImportable as why:
            refused.append(str(why))
            continue
        refused += [f"{message} ({code})" for code, message in found.doubts if code not in asked.accepted]
        name = _name(bundle, deployment, asked.valid_from)
        names.add(name)
        _write(
            bundle,
            whole,
            made,
            found=found,
            asked=asked,
            prices=prices,
            deployment=deployment,
            name=name,
            now=now,
        )
    if refused:
        raise ImportRefused(_with_hint(refused))
    fresh = bundle_of(whole, now=now)
    today = datetime.fromtimestamp(now // _SECOND, UTC).date()
    doubts = [
        str(finding.problem)
        for finding in lint(fresh, today=today)
        if finding.price in names and finding.code not in asked.accepted
    ]
    if doubts:
        raise ImportRefused(_with_hint(doubts))
    return made


def _with_hint(reasons: Iterable[str]) -> str:
    lines = list(reasons)
    named = any(f"({code})" in line for line in lines for code in CODES)
    accept = ": correct it by hand, or accept what you have looked up with --accept NAME" if named else ""
    return "\n".join([*lines, f"nothing was imported{accept}"])


def _model(bundle: Bundle, prices: PriceMap, deployment: str, asked: Asked) -> str:
    """Return the name of a deployment's model in the map. Raises NotImportable."""
    if deployment not in bundle.deployments:
        near = did_you_mean(deployment, bundle.deployments) or ""
        raise NotImportable(f"unknown deployment `{deployment}`; {near}".rstrip("; "))
    given = asked.models[deployment]
    connection = bundle.connections.get(deployment)
    prefixes: tuple[str, ...] = ("",)
    if given:
        wanted = given
    elif connection is None:
        raise NotImportable(
            f"`{deployment}` has no connection, so its model is not known: name it with --model"
        )
    else:
        wanted, prefixes = connection.model, _PREFIXES.get(connection.api, ("",))
    if asked.provider is not None:
        prefixes = (*prefixes, f"{asked.provider}/")
    for prefix in prefixes:
        entry = prices.models.get(prefix + wanted)
        if entry is not None and asked.provider in {None, entry.get("litellm_provider")}:
            return prefix + wanted
    near = did_you_mean(wanted, prices.models) or "look it up in the map, and name it with --model"
    whose = f" of `{asked.provider}`" if asked.provider else ""
    raise NotImportable(f"the map of litellm {prices.version} has no model `{wanted}`{whose}; {near}")


def _name(bundle: Bundle, deployment: str, valid_from: int) -> str:
    """Return an id that no price has yet."""
    taken = {placed.value.id for placed in bundle.prices}
    base = f"{deployment}-{datetime.fromtimestamp(valid_from // _SECOND, UTC):%Y-%m-%d}"
    number = 1
    while (name := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return name


def _write(
    bundle: Bundle,
    whole: dict[str, bytes],
    made: Plan,
    *,
    found: Draft,
    asked: Asked,
    prices: PriceMap,
    deployment: str,
    name: str,
    now: int,
) -> None:
    """Add the entry to the file of the price that it follows, which it ends or corrects."""
    before = _before(bundle, deployment, asked.valid_from)
    file = before.document.file if before is not None else asked.into or f"prices/{deployment}.yaml"
    text = whole.get(file, b"").decode()
    corrects = None
    if before is not None and before.value.valid.to is None and asked.valid_from >= now:
        line = before.document.mark((*before.path, "valid", "from"))[0]
        moved = line + sum(each < line for each in made.inserted.get(file, ()))
        changed = ended(text, moved, rfc3339(asked.valid_from))
        if changed is None:
            until = rfc3339(asked.valid_from)
            raise ImportRefused(f"{before.at}: end this price by hand first: valid: {{from: …, to: {until}}}")
        if changed.count("\n") > text.count("\n"):
            made.inserted.setdefault(file, []).append(line)
        text = changed
        made.notes.append(f"{before.at}: `{before.value.id}` ends at {rfc3339(asked.valid_from)}")
    elif before is not None:
        corrects = before.value.id
        made.notes.append(f"{before.at}: `{before.value.id}` is corrected from {rfc3339(now)} on")
    source = f"litellm {prices.version} model map (sha256 {prices.sha256[:16]}), {found.model}"
    entry = entry_text(
        found,
        name=name,
        deployment=deployment,
        valid_from=rfc3339(asked.valid_from),
        recorded=rfc3339(now),
        source=f"{source}; {found.source}"[:500] if found.source else source,
        approved_by=asked.approved_by,
    )
    if corrects is not None:
        entry = entry.replace("  recorded:", f"  corrects: {corrects}\n  recorded:", 1)
    if text and not text.endswith("\n"):
        text += "\n"
    # An empty list or a comment alone is no list to append to.
    text = "" if re.fullmatch(r"\s*\[\s*\]\s*", text) else text
    whole[file] = made.files[file] = (text + entry).encode()
    made.notes.append(f"{file}: `{name}` from {found.model}")
    made.notes += [f"  assumed: {sentence}" for sentence in found.assumed]
    made.notes += [f"  not imported: {sentence}" for sentence in found.left_out]


def _before(bundle: Bundle, deployment: str, at: int) -> Placed[PriceModel] | None:
    """Return the price that is valid at the instant; of a price and its corrections, the last known."""
    found = [
        placed
        for placed in bundle.prices
        if placed.value.deployment == deployment
        and placed.value.valid.from_ <= at
        and (placed.value.valid.to is None or at < placed.value.valid.to)
    ]
    return max(found, key=lambda placed: placed.value.recorded or placed.value.valid.from_, default=None)


def rfc3339(at: int) -> str:
    """Return an instant as prices write it."""
    return datetime.fromtimestamp(at // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def replace_files(folder: Path, files: Mapping[str, bytes]) -> Sequence[Path]:
    """Replace files, each whole: what reads the folder meanwhile sees the old one or the new one."""
    written: list[tuple[str, Path]] = []
    try:
        for name, content in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=target.parent, prefix=".prices-", suffix=".tmp")
            written.append((beside, target))
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        while written:
            beside, target = written[0]
            Path(beside).replace(target)
            written.pop(0)
    finally:
        for beside, _ in written:
            Path(beside).unlink(missing_ok=True)
    return [folder / name for name in files]
