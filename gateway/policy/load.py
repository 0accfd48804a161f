"""A folder → a :class:`~gateway.policy.bundle.Bundle`, or every problem in it at once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gateway.policy import check, shared_facts
from gateway.policy.bundle import Bundle, Placed
from gateway.policy.problems import PolicyErrors, Problem, did_you_mean
from gateway.policy.schema import (
    AlertsFile,
    CaseModel,
    ConnectionsFile,
    DeploymentsFile,
    FactsFile,
    PolicyFile,
    PoolsFile,
    PriceModel,
    RatesFile,
    RoutesFile,
    RuleModel,
    TeamsFile,
    UnitFile,
    VendorsFile,
)
from gateway.policy.source import Document, Key, read

LANGUAGE = "borderpost-policy-1"
"""Enters every hash: the same files under another language are another bundle."""

POLICY = "policy.yaml"
_FX = "prices/fx.yaml"
_SINGLE = (
    POLICY, "deployments.yaml", "connections.yaml", "routes.yaml", "teams.yaml", "vendors.yaml", "pools.yaml",
    "alerts.yaml",
)  # fmt: skip

PATTERNS = ("*.y*ml", "facts/*.y*ml", "prices/*.y*ml", "tests/*.y*ml", "units/*.y*ml")
"""Where the files of a bundle stand in its folder."""

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)


def load_bundle(folder: Path, *, now: int) -> Bundle:
    """Read a folder of policy files and check all of it. ``now`` is an instant (ns).

    Raises PolicyErrors with every problem found: what cannot be read, what a file may not hold,
    and what does not agree between files. Warnings are kept in the bundle.
    """
    return bundle_of(read_folder(folder), now=now)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every policy file by its name in the folder (``prices/azure.yaml``).

    Raises PolicyErrors when the folder or a file cannot be read.
    """
    problems: list[Problem] = []
    files: dict[str, bytes] = {}
    try:
        paths = [path for pattern in PATTERNS for path in folder.glob(pattern)]
        if not folder.is_dir():
            raise FileNotFoundError
    except OSError:
        raise PolicyErrors([_whole(str(folder), "this folder cannot be read")]) from None
    for path in sorted(paths):
        name = path.relative_to(folder).as_posix()
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            problems.append(_whole(name, f"this file cannot be read: {(error.strerror or 'error').lower()}"))
    if problems:
        raise PolicyErrors(problems)
    return files


def bundle_of(files: Mapping[str, bytes], *, now: int) -> Bundle:
    """Return the bundle that files (name → bytes) make. Raises PolicyErrors."""
    problems = [problem for name in files if (problem := _misplaced(name)) is not None]
    documents = {name: read(name, raw) for name, raw in files.items()}
    problems += [problem for document in documents.values() for problem in document.problems]
    if POLICY not in files:
        problems.append(_whole(POLICY, "this file is missing", "every bundle has one"))
    if problems:
        raise PolicyErrors(problems)
    absent = {name: Document(file=name) for name in (*_SINGLE, _FX) if name not in documents}
    everything = {**documents, **absent}
    policy = validated(PolicyFile, everything[POLICY], problems)
    units = _validate_files(UnitFile, _under("units/", documents), problems)
    packs = shared_facts.entries(_validate_files(FactsFile, _under("facts/", documents), problems), problems)
    merged = shared_facts.merged(everything["deployments.yaml"], packs, problems)
    deployments = validated(DeploymentsFile, everything["deployments.yaml"], problems, data=merged)
    vendors = validated(VendorsFile, everything["vendors.yaml"], problems)
    connections = validated(ConnectionsFile, everything["connections.yaml"], problems)
    routes = validated(RoutesFile, everything["routes.yaml"], problems)
    teams = validated(TeamsFile, everything["teams.yaml"], problems)
    rates = validated(RatesFile, everything[_FX], problems)
    pools = validated(PoolsFile, everything["pools.yaml"], problems)
    alerts = validated(AlertsFile, everything["alerts.yaml"], problems)
    priced = [document for document in _under("prices/", documents) if document.file != _FX]
    prices = _validate_lists(PriceModel, priced, problems)
    cases = _validate_lists(CaseModel, _under("tests/", documents), problems)
    if problems or not (policy and deployments and connections and routes and teams and rates and vendors):
        raise PolicyErrors(problems)
    assert alerts is not None  # noqa: S101 (as the next)
    assert pools is not None  # noqa: S101 (without a problem every file has a model)
    bundle = Bundle(
        policy=policy,
        deployments=deployments.deployments,
        connections=connections.connections,
        routes=routes.routes,
        teams=teams,
        prices=tuple(prices),
        rates=_items(rates.rates, everything[_FX], "rates"),
        tests=(
            *_items(policy.tests, everything[POLICY], "tests"),
            *(case for unit in units for case in _items(unit.value.tests, unit.document, "tests")),
            *cases,
        ),
        documents={name.removesuffix(".yaml"): everything[name] for name in _SINGLE},
        hash=_hash(documents.values()),
        rules=_rules(policy, everything[POLICY], units),
        units=tuple(units),
        vendors=vendors.vendors,
        packs=packs,
        facts_hash=_hash(_facts(everything)),
        prices_hash=_hash([everything[_FX], *priced, *_said(everything["pools.yaml"])]),
        pools=pools.pools,
        alerts=alerts,
    )
    errors, warnings = check.check(bundle, now=now)
    if errors:
        raise PolicyErrors(errors)
    return replace(bundle, warnings=tuple(warnings))


def _misplaced(name: str) -> Problem | None:
    """Return what is wrong with the name of a file."""
    if name in _SINGLE or re.fullmatch(r"(facts|prices|tests|units)/[A-Za-z0-9._-]+\.yaml", name):
        return None
    if name.endswith(".yml"):
        return _whole(name, "this file would not be read", f"call it `{name[:-4]}.yaml`")
    return _whole(name, "no such file belongs to a bundle", did_you_mean(name, _SINGLE))


def _whole(file: str, message: str, suggestion: str | None = None) -> Problem:
    return Problem(file=file, line=0, column=0, message=message, suggestion=suggestion)


def _items(values: Sequence[T], document: Document, key: str) -> tuple[Placed[T], ...]:
    return tuple(Placed(value=value, document=document, path=(key, i)) for i, value in enumerate(values))


def _under(folder: str, documents: Mapping[str, Document]) -> list[Document]:
    return [document for name, document in documents.items() if name.startswith(folder)]


def _rules(
    policy: PolicyFile, document: Document, units: Iterable[Placed[UnitFile]]
) -> tuple[Placed[RuleModel], ...]:
    """Return the rules of the organisation, then those of its layers."""
    layered = [
        replace(rule, layer=unit.value)
        for unit in units
        for rule in _items(unit.value.rules, unit.document, "rules")
    ]
    return (*_items(policy.rules, document, "rules"), *layered)


def _facts(documents: Mapping[str, Document]) -> list[Document]:
    """Return the files that facts are in; one that says nothing does not count."""
    names = ("deployments.yaml", "vendors.yaml")
    return [
        document
        for name, document in documents.items()
        if name == names[0] or (name == names[1] and document.data) or name.startswith("facts/")
    ]


def _said(document: Document) -> list[Document]:
    """Return an optional file, or nothing where it says nothing."""
    return [document] if document.data else []


def _hash(documents: Iterable[Document]) -> str:
    """Return the SHA-256 of canonical content, in the order of the files' names."""
    digest = hashlib.sha256(LANGUAGE.encode())
    for document in sorted(documents, key=lambda d: d.file):
        content = orjson.dumps([document.file, document.data], option=orjson.OPT_SORT_KEYS)
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


# ----------------------------------------------------------------- validation


def validated(
    model: type[Model], document: Document, problems: list[Problem], *, data: object = None
) -> Model | None:
    """Return a file's model, or ``None`` with its problems added to ``problems``.

    ``data`` is what the file says once shared facts are in it.
    """
    data = document.data if data is None else data
    # An absent file says nothing; so does an empty one.
    data = {} if data is None else data
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems += [_translate(document, details) for details in error.errors(include_url=False)]
        return None


def _validate_files(
    model: type[Model], documents: Iterable[Document], problems: list[Problem]
) -> list[Placed[Model]]:
    return [
        Placed(value=value, document=document, path=())
        for document in documents
        if (value := validated(model, document, problems)) is not None
    ]


def _validate_lists(
    model: type[Model], documents: Iterable[Document], problems: list[Problem]
) -> list[Placed[Model]]:
    found: list[Placed[Model]] = []
    adapter = TypeAdapter(list[model])  # type: ignore[valid-type]  # mypy knows no run-time type arguments
    for document in documents:
        try:
            values = adapter.validate_python([] if document.data is None else document.data)
        except ValidationError as error:
            problems += [_translate(document, details) for details in error.errors(include_url=False)]
            continue
        found += [Placed(value=value, document=document, path=(i,)) for i, value in enumerate(values)]
    return found


_EXPECTED = {
    "string_type": "text is expected",
    "int_type": "a whole number is expected",
    "bool_type": "true or false is expected",
    "list_type": "a list is expected",
    "dict_type": "keys with values are expected",
    "model_type": "keys with values are expected",
    "model_attributes_type": "keys with values are expected",
    "none_required": "nothing is expected",
    "too_short": "at least one item is expected",
    "string_too_short": "this is empty",
    "string_too_long": "this is too long",
}


def _translate(document: Document, details: ErrorDetails) -> Problem:
    """Return what Pydantic found as a person reads it, where it is written."""
    path = _path(document, details["loc"])
    context = details.get("ctx", {})
    value = details["input"]
    shown = f"`{str(value)[:40]}`" if isinstance(value, str | int | float) else "this"
    match details["type"]:
        case "policy":
            return document.problem(path, str(context["message"]), context.get("suggestion"))
        case "unknown_key":
            at = (*path, str(context["key"]))
            line, column = document.mark(at)
            where = document.problem(path, f"unknown key `{context['key'][:40]}`", context.get("suggestion"))
            return replace(where, line=line, column=column)
        case "missing":
            return document.problem(path, f"the key `{details['loc'][-1]}` is missing")
        case "literal_error":
            known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
            return document.problem(
                path, f"{shown} is none of the words that may stand here", did_you_mean(str(value), known)
            )
        case "string_pattern_mismatch" if path and path[-1] == "secret":
            # INVARIANT: what may be a key is never shown.
            return document.problem(path, "a secret is named, not written", "write file:/path or env:NAME")
        case "string_pattern_mismatch":
            return document.problem(path, f"{shown} is no name", "use letters, digits and . _ - only")
        case "greater_than_equal" | "less_than_equal" | "less_than":
            return document.problem(
                path, f"{shown} is out of range: {details['msg'].removeprefix('Input should be ')}"
            )
        case kind:
            return document.problem(
                path, _EXPECTED.get(kind, details["msg"][:1].lower() + details["msg"][1:])
            )


def _path(document: Document, location: tuple[int | str, ...]) -> Key:
    """Return the path in the file; steps of the model that no file has (tags) are dropped."""
    path: Key = ()
    for step in location:
        if (*path, step) in document.marks:
            path = (*path, step)
    return path
