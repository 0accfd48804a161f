"""Tests mirror the package: who reads ``gateway/x/y.py`` knows that ``tests/x/test_y.py`` speaks about it.

``unmirrored.txt`` lists the exceptions with their reasons. It may only shrink: a line for a file that is
gone, or that has its test by now, fails here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.repo.reading import GATEWAY, ROOT, name_of, parsed, sources

UNMIRRORED = Path(__file__).with_name("unmirrored.txt")

# Generated or declarative by nature, in any number: alembic's own layout is not ours to mirror.
NOT_OURS = ("gateway/adapters/store_sql/migrations/", "gateway/_starter/")


def has_substance(module: ast.Module) -> bool:
    """Whether a module does anything: a function with a body, outside a Protocol."""
    declared: set[ast.AST] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
            declared.update(ast.walk(node))
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node not in declared
        and not _is_stub(node)
        for node in ast.walk(module)
    )


def _is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in function.body)


def mirrors(path: Path) -> list[Path]:
    """Where the test of a source file may stand."""
    inner = path.relative_to(GATEWAY)
    if inner.name == "__init__.py":
        package = inner.parent
        return [
            ROOT / "tests" / package / f"test_{package.name}.py",
            ROOT / "tests" / package.parent / f"test_{package.name}.py",
        ]
    stem = inner.stem.strip("_")
    return [ROOT / "tests" / inner.parent / f"test_{stem}.py"]


def excused() -> dict[str, str]:
    """The exceptions: file → reason."""
    lines = [line.strip() for line in UNMIRRORED.read_text(encoding="utf-8").splitlines()]
    pairs = (line.partition("#") for line in lines if line and not line.startswith("#"))
    return {name.strip(): reason.strip() for name, _, reason in pairs}


def test_every_module_has_its_mirror() -> None:
    """A module of substance without a test of its own name is on the list, with its reason."""
    missing = {
        name_of(path): name_of(mirrors(path)[-1])
        for path in sources()
        if not name_of(path).startswith(NOT_OURS)
        and has_substance(parsed(path))
        and not any(mirror.is_file() for mirror in mirrors(path))
    }
    bare = {name: mirror for name, mirror in missing.items() if name not in excused()}
    assert not bare, "\n".join(
        ["no test mirrors these:", *(f"  {name} → {mirror}" for name, mirror in bare.items())]
    )


def test_the_list_of_exceptions_only_shrinks() -> None:
    """Each line names a file that exists, still has no mirror, and says why."""
    for name, reason in excused().items():
        path = ROOT / name
        assert path.is_file(), f"{name} is gone: strike it from {UNMIRRORED.name}"
        assert not any(mirror.is_file() for mirror in mirrors(path)), (
            f"{name} has its test by now: strike it from {UNMIRRORED.name}"
        )
        assert reason, f"{name} stands in {UNMIRRORED.name} without a reason"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_every_module_opens_with_what_it_owns(path: Path) -> None:
    """Our readers include lawyers: the first line says what a file is for."""
    if path.stat().st_size:
        assert ast.get_docstring(parsed(path)), f"{name_of(path)} has no docstring"


def test_names_say_what_they_hold() -> None:
    """No drawer for everything: these names have no limit, so their files grow without one."""
    drawers = {
        "utils",
        "util",
        "helpers",
        "helper",
        "common",
        "misc",
        "manager",
        "base",
        "service",
        "services",
    }
    found = [name_of(path) for path in sources() if path.stem in drawers or path.parent.name in drawers]
    assert not found, f"say what these hold: {', '.join(found)}"
