"""What we install is what we looked at: pinned by hash, consistent, clean, and from nowhere in particular."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.repo.reading import ROOT, name_of, tracked

FOLDER = ROOT / "requirements"
COMPILED = sorted(FOLDER.glob("*.txt"))
WANTED = sorted(FOLDER.glob("*.in"))

# Releases that stole credentials, and the line that is not trusted since.
MALICIOUS_LITELLM = [Version("1.82.7"), Version("1.82.8"), Version("1.107.0"), Version("1.107.3")]

# A .pth file runs at every start of the interpreter. These are known.
KNOWN_PTH = {
    "_borderpost.pth": "our own development install: one line, the path of the repository",
    "distutils-precedence.pth": "setuptools, which spaCy asks for",
}

# Models named like the real ones lie on the index in other hands.
SQUATTED = {
    "en-core-web-sm",
    "en-core-web-md",
    "en-core-web-lg",
    "en-core-web-trf",
    "fr-dep-news-trf",
    "xx-ent-wiki-sm",
}


def wanted(path: Path) -> list[Requirement]:
    """What an .in file asks for."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def pinned(path: Path) -> dict[str, tuple[Requirement, list[str]]]:
    """Each requirement of a compiled file, with its hashes."""
    text = re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        spec, *hashes = re.split(r"\s--hash=", line)
        requirement = Requirement(spec.strip())
        found[canonicalize_name(requirement.name)] = (requirement, [value.strip() for value in hashes])
    return found


def names(requirements: list[Requirement]) -> set[str]:
    """The names, as the index compares them."""
    return {canonicalize_name(requirement.name) for requirement in requirements}


def project() -> dict:
    """The project table."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.name)
def test_every_requirement_is_pinned_by_hash(path: Path) -> None:
    """One version, and the digests of its files."""
    assert pinned(path), f"{path.name} is empty"
    for name, (requirement, hashes) in pinned(path).items():
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), f"{name} is not pinned: {requirement}"
        assert hashes, f"{name} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), f"{name}: odd hash"
        assert requirement.url is None, f"{name} names an address"


@pytest.mark.parametrize("path", WANTED, ids=lambda path: path.name)
def test_each_list_is_compiled(path: Path) -> None:
    """What is asked for is pinned, at a version that was asked for."""
    compiled = pinned(path.with_suffix(".txt"))
    for requirement in wanted(path):
        pin = compiled[canonicalize_name(requirement.name)][0]
        version = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(version, prereleases=True), (
            f"compile again: {requirement} is pinned at {version}"
        )


def test_the_lists_agree() -> None:
    """One environment holds them all: no name is pinned at two versions."""
    seen: dict[str, tuple[str, str]] = {}
    for path in COMPILED:
        for name, (requirement, _) in pinned(path).items():
            pin = str(requirement.specifier)
            assert seen.setdefault(name, (pin, path.name))[0] == pin, (
                f"{name}: {pin} here, {seen[name]} elsewhere"
            )


@pytest.mark.parametrize("list_name", ["run", "privacy", "reports", "litellm"])
def test_the_package_asks_for_the_same(list_name: str) -> None:
    """``pip install .`` and the pinned lists name the same things, and the pins satisfy the package."""
    asked = project()["dependencies"] if list_name == "run" else project()["optional-dependencies"][list_name]
    declared = {canonicalize_name(r.name): r for r in map(Requirement, asked)}
    assert set(declared) == names(wanted(FOLDER / f"{list_name}.in"))
    compiled = pinned(FOLDER / f"{list_name}.txt")
    for name, requirement in declared.items():
        version = str(compiled[name][0].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{requirement} is pinned at {version}"


def test_malicious_litellm_is_excluded() -> None:
    """Neither the list, nor the package, nor the pin admits a release that stole credentials."""
    asked = [r for r in wanted(FOLDER / "litellm.in") if r.name == "litellm"]
    asked += [
        r for r in map(Requirement, project()["optional-dependencies"]["litellm"]) if r.name == "litellm"
    ]
    asked += [pinned(FOLDER / "litellm.txt")["litellm"][0]]
    assert len(asked) == 3
    for requirement in asked:
        for version in MALICIOUS_LITELLM:
            assert not requirement.specifier.contains(version), f"{requirement} admits {version}"


def test_nothing_unwanted_comes_along() -> None:
    """No torch (gigabytes that nothing needs), and no model of someone else under the real one's name."""
    for path in COMPILED:
        assert not {"torch", "tensorflow", "transformers"} & set(pinned(path)), path.name
        assert not SQUATTED & set(pinned(path)), path.name


def test_no_registry_is_named_anywhere() -> None:
    """Where packages come from is the business of whoever installs: a mirror, a cache, a disk."""
    # Put together here, so that this file does not name them either.
    hosts = [
        "py" + "pi.org",
        "python" + "hosted.org",
        "npm" + "js.org",
        "npm" + "js.com",
        "deb." + "debian.org",
        "conda" + ".anaconda.org",
    ]
    options = ["--index" + "-url", "--extra-index" + "-url", "--find" + "-links", "--trusted" + "-host"]
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "ignore")
        found = [host for host in hosts if host in text]
        assert not found, f"{name_of(path)} names {found}"
        if path.parent == FOLDER and path.suffix in {".txt", ".in"}:
            assert not [option for option in options if option in text], f"{name_of(path)} says where to look"


def test_no_unknown_pth_file_is_installed() -> None:
    """A .pth file is code that runs before any of ours; one release of litellm stole credentials by one."""
    owners = {
        Path(str(file)).name: distribution.metadata["Name"]
        for distribution in distributions()
        for file in distribution.files or ()
        if str(file).endswith(".pth")
    }
    here = {file.name for folder in sys.path if Path(folder).is_dir() for file in Path(folder).glob("*.pth")}
    unknown = {name: owners.get(name, "nobody") for name in (here | set(owners)) - set(KNOWN_PTH)}
    assert not unknown, f"unknown .pth files, by who installed them: {unknown}"


def test_the_installed_versions_are_the_pinned_ones() -> None:
    """What is tested here is what the lists name, and not what someone tried out by hand."""
    pins = {
        name: str(r.specifier).removeprefix("==")
        for path in COMPILED
        for name, (r, _) in pinned(path).items()
    }
    differing = {
        name: (distribution.version, pins[name])
        for distribution in distributions()
        if (name := canonicalize_name(distribution.metadata["Name"])) in pins
        and Version(distribution.version) != Version(pins[name])
    }
    assert not differing, f"installed, pinned: {differing}"
