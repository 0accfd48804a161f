"""Problems: how they read and how they are ordered."""

from __future__ import annotations

from gateway.policy.problems import PolicyErrors, Problem, did_you_mean


def test_a_problem_reads_as_one_line():
    """File, line, column, what, and the nearest word; a whole file has no line."""
    problem = Problem(
        file="policy.yaml",
        line=33,
        column=5,
        message="unknown place `Qebec`",
        suggestion="did you mean `Quebec`?",
    )
    assert str(problem) == "policy.yaml:33:5 unknown place `Qebec`; did you mean `Quebec`?"
    assert (
        str(Problem(file="policy.yaml", message="this file is missing")) == "policy.yaml this file is missing"
    )


def test_errors_are_ordered_by_place():
    """A person works through a file from the top."""
    late = Problem(file="a", line=9, column=1, message="late")
    early = Problem(file="a", line=2, column=1, message="early")
    other = Problem(file="b", line=1, column=1, message="other")
    errors = PolicyErrors([other, late, early])
    assert errors.problems == [early, late, other]
    assert str(errors) == "a:2:1 early\na:9:1 late\nb:1:1 other"


def test_suggestions():
    """The nearest word whatever its case; a short list where nothing is near; nothing for a long one."""
    assert did_you_mean("qebec", ["Quebec", "Canada"]) == "did you mean `Quebec`?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: `a`, `b`"
    assert did_you_mean("zzz", [f"name{i}" for i in range(20)]) is None
    assert did_you_mean("zzz", []) is None
