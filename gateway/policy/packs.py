"""Packs: rules for one law or regulator each, composed into a ``policy.yaml`` of one's own.

What comes out belongs to its reader: it is a file to edit, not a link to ours. INVARIANT: a pack
only narrows. It has no rule that allows, so more packs never permit more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from gateway.policy.load import validated
from gateway.policy.problems import PolicyErrors, Problem, did_you_mean
from gateway.policy.schema import DataKind, PackFile, PolicyFile, RuleModel
from gateway.policy.source import Document, quoted, read

NO_ADVICE = "A starting point written by engineers, and no legal advice: have counsel read every sentence."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One pack and its file."""

    file: PackFile
    document: Document


def available(folder: Path) -> dict[str, Path]:
    """Return the packs of a folder by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def named(word: str, folder: Path) -> Path:
    """Return the pack that a word means: its name, or a part of it (``quebec``, ``law25``).

    Raises PolicyErrors for a word that means none, or several.
    """
    packs = available(folder)
    if word in packs:
        return packs[word]
    meant = [name for name in packs if word.lower() in name.split("-")]
    if len(meant) != 1:
        near = f"known: {', '.join(packs)}" if not meant else f"it may be {' or '.join(meant)}"
        raise PolicyErrors(
            [
                Problem(
                    file=word, message="there is no such pack", suggestion=did_you_mean(word, packs) or near
                )
            ]
        )
    return packs[meant[0]]


def load(path: Path) -> Pack:
    """Read one pack. Raises PolicyErrors."""
    document = read(path.name, path.read_bytes())
    problems = list(document.problems)
    file = None if problems else validated(PackFile, document, problems)
    if file is not None:
        problems += [
            document.problem(("rules", i), f"the rule `{rule.id}` allows", "packs only narrow")
            for i, rule in enumerate(file.rules)
            if rule.allow
        ]
    if problems or file is None:
        raise PolicyErrors(problems)
    return Pack(file=file, document=document)


def compose(base: PolicyFile, packs: Iterable[Pack]) -> str:
    """Return the text of ``policy.yaml``: the base with every pack. Raises PolicyErrors if two disagree."""
    chosen = list(packs)
    problems: list[Problem] = []
    places = dict(base.places)
    kinds = dict(base.data)
    rules: dict[str, RuleModel] = {rule.id: rule for rule in base.rules}
    for pack in chosen:
        for name, codes in pack.file.places.items():
            if places.setdefault(name, codes) != codes:
                message = f"`{name}` means other places in another pack"
                problems.append(pack.document.problem(("places", name), message))
        for name, kind in pack.file.data.items():
            kinds[name] = _joined(kinds.get(name), kind)
        for i, rule in enumerate(pack.file.rules):
            if rule.id in rules:
                message = f"the id `{rule.id}` stands in another pack too"
                problems.append(pack.document.problem(("rules", i, "id"), message))
            rules[rule.id] = rule
    if problems:
        raise PolicyErrors(problems)
    # What nobody labelled stands last, as people expect it.
    kinds["unlabelled"] = kinds.pop("unlabelled")
    return "\n".join(_lines(base, chosen, places=places, kinds=kinds, rules=rules)) + "\n"


def compose_folder(packs: Path, words: Iterable[str]) -> dict[str, bytes]:
    """Return the files (name → bytes) of a bundle made of the packs that words mean. Raises PolicyErrors."""
    chosen = {path: load(path) for path in dict.fromkeys(named(word, packs) for word in words)}
    files = {path.name: path.read_bytes() for path in sorted((packs / "base").glob("*.yaml"))}
    problems: list[Problem] = []
    base = validated(PolicyFile, read("base/policy.yaml", files["policy.yaml"]), problems)
    if base is None or problems:
        raise PolicyErrors(problems)
    files["policy.yaml"] = compose(base, chosen.values()).encode()
    return files


def _joined(one: DataKind | None, other: DataKind) -> DataKind:
    """Return a kind that both packs name: whoever may set it in one may set it in both."""
    if one is None:
        return other
    return DataKind(
        is_also=[*dict.fromkeys([*one.is_also, *other.is_also])],
        found_by=[*dict.fromkeys([*one.found_by, *other.found_by])],
        treat_as=one.treat_as or other.treat_as,
        says=one.says or other.says,
    )


# --------------------------------------------------------------------- writing


def _lines(
    base: PolicyFile,
    packs: list[Pack],
    *,
    places: Mapping[str, list[str]],
    kinds: Mapping[str, DataKind],
    rules: Mapping[str, RuleModel],
) -> Iterable[str]:
    yield "# yaml-language-server: $schema=schema/policy.schema.json"
    yield "#"
    yield f"# {NO_ADVICE}"
    for pack in packs:
        yield f"# {pack.file.pack}: {pack.file.says} As of {pack.file.seen}: {pack.file.source}"
    yield "# After an edit: `borderpost policy test`. What must be reviewed: `borderpost policy due`."
    yield f"policy: {_word(base.policy)}"
    yield f"version: {base.version}"
    yield f"owner: {_word(base.owner)}"
    yield f"changes_need: {_flow(base.changes_need)}"
    yield "anything_not_allowed_below: refused"
    yield ""
    yield "places:" + ("" if places else " {}")
    yield from (f"  {_word(name)}: {_flow(codes)}" for name, codes in places.items())
    yield ""
    yield "data:"
    yield from (f"  {_word(name)}: {_flow(_plain(kind))}" for name, kind in kinds.items())
    yield ""
    yield "rules:"
    owners = {rule.id: pack.file.owner for pack in packs for rule in pack.file.rules}
    for rule in rules.values():
        yield from _rule(rule, owners.get(rule.id))
    sentences = [*base.prove, *dict.fromkeys(text for pack in packs for text in pack.file.prove)]
    yield "prove:" + ("" if sentences else " []")
    yield from (f"  - {_text(text)}" for text in sentences)
    yield ""
    yield "tests:"
    for case in [*base.tests, *(case for pack in packs for case in pack.file.tests)]:
        yield f"  - {_flow(_plain(case))}"


def _rule(rule: RuleModel, owner: str | None) -> Iterable[str]:
    said = _plain(rule)
    if owner is not None:
        said.setdefault("owner", owner)
    mark = "-"
    for key, value in said.items():
        yield f"  {mark} {key}: {_text(value) if key in {'says', 'source'} else _flow(value)}"
        mark = " "
    yield ""


def _plain(model: BaseModel) -> dict[str, object]:
    """Return what a person wrote, in the order of the model."""
    said: dict[str, object] = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if said.get("is_also") == []:  # where two packs were joined
        del said["is_also"]
    return {key: value for key, value in said.items() if value is not None}


# Words that YAML 1.2 reads as text, in a flow too; anything else stands in quotes.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*|\d{4}-\d\d-\d\d")
_NO_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) and text.lower() not in _NO_WORDS else _text(text)


def _text(value: object) -> str:
    return quoted(str(value))


def _flow(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list():
            return f"[{', '.join(_flow(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{_word(str(key))}: {_flow(item)}' for key, item in value.items())}}}"
        case _:
            return _word(str(value))
