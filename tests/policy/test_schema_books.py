"""``books`` in teams.yaml: accounts that are dated and said once."""

from __future__ import annotations

import pytest

from gateway.policy.load import bundle_of
from gateway.policy.problems import PolicyErrors
from gateway.policy.schema_books import books
from tests.policy.signed import BANK

NOW = 1_795_460_400_000_000_000


def loaded(text):
    return bundle_of({**BANK, "teams.yaml": BANK["teams.yaml"] + text.encode()}, now=NOW)


def test_accounts_are_read_with_their_place():
    """What is left out is any; amounts of nothing else."""
    found = loaded(
        'books:\n  two_people: true\n  gl:\n    - {account: "6400", from: 2026-01-01}\n'
        '    - {account: "2100", from: 2026-01-01, side: credit, vendor: azure, kind: reserved}\n'
    )
    value = books(found.teams.books, found.documents["teams"])
    assert value.two_people
    first, second = value.accounts
    assert (first.account, first.side, first.cost_centre, first.from_) == (
        "6400",
        "debit",
        None,
        "2026-01-01",
    )
    assert (second.side, second.vendor, second.kind) == ("credit", "azure", "reserved")
    assert first.at.startswith("teams.yaml:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('gl: [{account: "6400"}]', "the key `from` is missing"),
        ('gl: [{account: "6400", from: soon}]', "is no date"),
        ('gl: [{account: "", from: 2026-01-01}]', "account"),
        ('gl: [{acount: "6400", from: 2026-01-01}]', "unknown key `acount`"),
        ('gl: [{account: "6400", from: 2026-01-01, kind: gpus}]', "none of the words"),
        ('gl: [{account: "6", from: 2026-01-01, side: credit, cost_centre: "1"}]', "name the vendor"),
        (
            'gl: [{account: "1", from: 2026-01-01}, {account: "2", from: 2026-01-01}]',
            "account `2` is for the same charges from the same day as one before it",
        ),
        ("two_person: true", "unknown key `two_person`"),
    ],
)
def test_a_wrong_line_is_named(text, said):
    """With file and line, and the fix."""
    with pytest.raises(PolicyErrors) as wrong:
        loaded(f"books: {{{text}}}\n")
    assert said in str(wrong.value)
    assert "teams.yaml:" in str(wrong.value)
