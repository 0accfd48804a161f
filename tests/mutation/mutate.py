"""Mutation testing of the parts that decide: `make mutate`. Slow, so no part of the check.

Changes one thing at a time, in memory (a comparison turned round, an `and` for an `or`, a statement
dropped), and runs the tests that speak about the module. A change that no test notices is a
survivor: either it means the same, or a test is missing. docs/explanation/mutation-testing.md lists
what survived and why.

    python tests/mutation/mutate.py                     all targets
    python tests/mutation/mutate.py core/decide --jobs 2 --lines 130-190
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

import hypothesis
import pytest
from _pytest.main import pytest_runtestloop as run_tests

ROOT = Path(__file__).resolve().parents[2]

TARGETS: dict[str, tuple[str, ...]] = {
    "core/decide": (
        "tests/core/test_decide_edges.py",
        "tests/core/test_decide.py",
    ),
    "policy/prove": (
        "tests/policy/test_prove_reach.py",
        "tests/policy/test_prove_edges.py",
        "tests/policy/test_prove.py",
    ),
}
"""Module → the tests that hold it, the quick ones first."""

EXAMPLES = 20
TIMEOUT_S = 120
_SETTINGS = "_hypothesis_internal_use_settings"

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip


_CHANGED = (
    ast.Assign, ast.AugAssign, ast.BinOp, ast.BoolOp, ast.Compare, ast.Constant, ast.Continue, ast.If,
    ast.IfExp,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the tree with it, where, and what."""

    line: int
    what: str
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    plain = ast.parse(source)
    inside = {
        id(node)
        for outer in ast.walk(plain)
        if isinstance(outer, ast.FunctionDef)
        for node in ast.walk(outer)
    }
    hints = {id(part) for node in ast.walk(plain) for hint in _hints(node) for part in ast.walk(hint)}
    for at, found in enumerate(ast.walk(plain)):
        if not isinstance(found, _CHANGED) or id(found) not in inside or id(found) in hints:
            continue
        if isinstance(found, ast.Constant) and not isinstance(found.value, int):
            continue
        for variant in range(3):
            tree = copy.deepcopy(plain)
            node = next(n for i, n in enumerate(ast.walk(tree)) if i == at)
            what = _change(node, variant, tree)
            if what is not None:
                yield Mutant(getattr(node, "lineno", 0), what, ast.fix_missing_locations(tree))


def _hints(node: ast.AST) -> list[ast.expr]:
    """The annotations of a node: nothing is decided by them."""
    found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [hint for hint in found if isinstance(hint, ast.expr)]


def _change(node: ast.AST, variant: int, tree: ast.Module) -> str | None:
    """Change one node in place and say how, or return None where there is no such variant."""
    before = ast.unparse(node)[:70].replace("\n", " ") if isinstance(node, ast.expr | ast.stmt) else ""
    match node, variant:
        case ast.Compare(ops=[op]), 0 if type(op) in _COMPARE:
            node.ops = [_COMPARE[type(op)]()]
        case ast.BoolOp(), 0:
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.BoolOp(), 1:
            node.values = node.values[1:]
            return f"`{before}` without its first part"
        case ast.BoolOp(), 2:
            node.values = node.values[:-1]
            return f"`{before}` without its last part"
        case ast.BinOp(op=op), 0 if type(op) in _BINARY and not _is_type(node):
            node.op = _BINARY[type(op)]()
        case ast.AugAssign(op=op), 0 if type(op) in _BINARY:
            node.op = _BINARY[type(op)]()
        case ((ast.If() | ast.IfExp()), 0):
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
            return f"condition turned round: `{before}`"
        case ast.Constant(value=bool() as value), 0:
            node.value = not value
        case ast.Constant(value=int() as value), 0 if not isinstance(value, bool):
            node.value = value + 1
        case ((ast.Assign() | ast.AugAssign()), 1):
            return _dropped(node, tree, before)
        case ast.Continue(), 0:
            return _dropped(node, tree, before)
        case _:
            return None
    return f"`{before}` → `{ast.unparse(node)[:70]}`" if isinstance(node, ast.expr | ast.stmt) else None


def _is_type(node: ast.BinOp) -> bool:
    """Whether ``a | b`` is a union of types, or text that is joined."""
    return any(
        isinstance(side, ast.Constant) and (side.value is None or isinstance(side.value, str))
        for side in (node.left, node.right)
    ) or ast.unparse(node.left) in {"str", "int", "Decision", "Goal", "Refusal"}


def _dropped(node: ast.AST, tree: ast.Module, before: str) -> str | None:
    for outer in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(outer, name, None)
            if isinstance(body, list) and node in body:
                body[body.index(node)] = ast.Pass()
                return f"dropped `{before}`"
    return None


# ------------------------------------------------------------------------------- running


class _Loop:
    """A pytest plug-in: instead of running the tests once, runs them once per mutant, each in a fork.

    Everything is imported and collected already, so a mutant costs what its tests cost. A mutant is put in
    place by giving functions the code of the mutated ones: whoever holds a function holds the mutant.
    """

    def __init__(self, target: str, source: str, todo: list[Mutant], jobs: int) -> None:
        self.target, self.todo, self.jobs = target, todo, jobs
        self.same = Mutant(0, "nothing", ast.parse(source))
        self.module = importlib.import_module("gateway." + target.replace("/", "."))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Put properties last, and let them try fewer examples, always the same ones."""
        session.items.sort(key=lambda item: hasattr(item.obj, _SETTINGS))  # type: ignore[attr-defined]
        for item in session.items:
            inner = getattr(item.obj, _SETTINGS, None)  # type: ignore[attr-defined]
            if inner is not None:
                few = hypothesis.settings(
                    inner, max_examples=min(inner.max_examples, EXAMPLES), derandomize=True, database=None
                )
                setattr(item.obj, _SETTINGS, few)  # type: ignore[attr-defined]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run every mutant; say which survived as it is found."""
        if not self._passes(session, self.same):
            sys.exit(f"{self.target}: its tests fail although nothing was changed")
        begun, survivors = time.monotonic(), 0
        running: dict[int, Mutant] = {}
        waiting = list(reversed(self.todo))
        while waiting or running:
            while waiting and len(running) < self.jobs:
                mutant = waiting.pop()
                running[self._start(session, mutant)] = mutant
            pid, status = os.wait()
            mutant = running.pop(pid)
            if status == 0:
                survivors += 1
                _say(f"survived {self.target}:{mutant.line} {mutant.what}")
        killed = len(self.todo) - survivors
        spent = time.monotonic() - begun
        _say(f"{self.target}: {killed} of {len(self.todo)} mutants killed in {spent:.0f} s")
        return True

    def _passes(self, session: pytest.Session, mutant: Mutant) -> bool:
        return os.waitpid(self._start(session, mutant), 0)[1] == 0

    def _start(self, session: pytest.Session, mutant: Mutant) -> int:
        """Run all tests in a child; it ends with 0 if they pass."""
        pid = os.fork()
        if pid:
            return pid
        nowhere = os.open(os.devnull, os.O_RDWR)
        for used in (1, 2):
            os.dup2(nowhere, used)
        signal.alarm(TIMEOUT_S)
        status = 1
        try:
            _put(self.module, mutant.tree)
            run_tests(session)
            status = int(session.testsfailed > 0)
        finally:
            os._exit(status)


def _put(module: ModuleType, tree: ast.Module) -> None:
    """Give every function of a module the code that it has in a mutated tree."""
    mutated = ModuleType(module.__name__)
    mutated.__file__ = module.__file__
    exec(compile(tree, str(module.__file__), "exec"), mutated.__dict__)  # noqa: S102 (a mutant of ours)
    _graft(vars(module), vars(mutated), module.__name__)


def _graft(into: Mapping[str, object], out_of: Mapping[str, object], module: str) -> None:
    for name, found in into.items():
        old, new = _bare(found), _bare(out_of.get(name))
        if isinstance(old, FunctionType) and isinstance(new, FunctionType) and old.__module__ == module:
            old.__code__, old.__kwdefaults__ = new.__code__, new.__kwdefaults__
        elif isinstance(old, type) and isinstance(new, type) and old.__module__ == module:
            _graft(vars(old), vars(new), module)


def _bare(found: object) -> object:
    """The function inside a cache or a property."""
    inner = getattr(found, "__wrapped__", found)
    return inner.fget if isinstance(inner, property) else inner


def _say(line: str) -> None:
    sys.__stdout__.write(line + "\n")  # type: ignore[union-attr]  # past pytest's capture
    sys.__stdout__.flush()  # type: ignore[union-attr]  # as above


def main() -> None:
    """Mutate one target after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("targets", nargs="*", default=sorted(TARGETS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--lines", type=lambda text: tuple(map(int, text.split("-"))), default=(0, 10**6))
    asked = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for target in asked.targets:
        first, last = asked.lines
        source = (ROOT / "gateway" / f"{target}.py").read_text(encoding="utf-8")
        todo = [mutant for mutant in mutants(source) if first <= mutant.line <= last]
        if os.fork() == 0:
            tests = [test for test in TARGETS[target] if Path(test).exists()]
            options = [
                "-q",
                "-x",
                "-s",
                "-p",
                "no:cacheprovider",
                "--assert=plain",
                "-o",
                "timeout=0",
                *tests,
            ]
            os._exit(int(pytest.main(options, [_Loop(target, source, todo, asked.jobs)])))
        os.wait()


if __name__ == "__main__":
    main()
