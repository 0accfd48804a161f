"""``/status`` says who approves budgets and prices, and that nobody does where nobody does."""

from __future__ import annotations

from dataclasses import replace

from gateway.adapters.store_sql.money_changes import MoneyChange
from gateway.api.money_status import books_report
from gateway.policy.sign import Keyring, Signer, Unusable

FINANCE = Keyring(signers=(Signer(name="fina", role="finance", public=b"f" * 32),))
OTHERS = Keyring(signers=(Signer(name="anna", role="legal", public=b"a" * 32),))
CHANGE = MoneyChange(
    tenant="maple", bundle="b2", replaces="b1", money="m", at_us=7, author="", by="folder", approved_by="[]",
    changes='["x"]',
)  # fmt: skip


def report(signing="required", source="store", ring=FINANCE, last=None):
    def keyring():
        if isinstance(ring, Exception):
            raise ring
        return ring

    found = books_report(last, signing=signing, source=source, keyring=keyring)
    [control] = found.controls
    return control, found.facts


def test_with_signing_and_finance_it_is_enforced():
    """Nothing to explain."""
    control, facts = report()
    assert (control.mode, control.why, facts) == ("enforcing", None, {})


def test_without_signing_it_is_recorded_only():
    """A folder does not even say who wrote it."""
    control, facts = report(signing="off", source="folder", last=CHANGE)
    assert control.mode == "off"
    assert control.why is not None
    assert "a folder does not say who wrote them" in control.why
    assert facts["last_money_change"]["author"] == "unknown"
    assert "folder" not in (report(signing="off")[0].why or "")


def test_without_finance_in_the_keyring_nothing_changes_or_all_is_only_recorded():
    """The store refuses; a folder runs it, and says so."""
    assert report(ring=OTHERS)[0].mode == "enforcing"
    assert "no change of money can go live" in (report(ring=OTHERS)[0].why or "")
    assert report(ring=OTHERS, source="folder")[0].mode == "degraded"
    assert report(ring=Unusable("the keyring cannot be read"))[0].mode == "degraded"


def test_the_first_bundle_is_no_change():
    """It began so."""
    assert report(last=replace(CHANGE, replaces=""))[1] == {}
