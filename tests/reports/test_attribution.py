"""What is paid by time is borne by the calls it served: all of it, once, by their worth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.store_sql.reports import Sums
from gateway.reports.attribution import attributed, grouped

BASE = ("alias", "model", "deployment", "app")

sums = st.lists(
    st.builds(
        lambda group, kind, calls, tokens, nano, worth: Sums(
            group=(*group, kind), currency="CAD", calls=calls if kind == "usage" else 0,
            attempts=calls if kind == "usage" else 0, entries=kind != "usage",
            tokens_in=tokens if kind == "usage" else 0, spend_nano=nano, contracted_nano=worth,
        ),
        st.tuples(
            st.sampled_from(["chat", "chat-pro", ""]), st.sampled_from(["m1", "m2"]),
            st.sampled_from(["here", "there", ""]), st.sampled_from(["teller", "lab", ""]),
        ),
        st.sampled_from(["usage", "usage", "reserved", "gpu", "correction", "adjust"]),
        st.integers(0, 5), st.integers(0, 1000), st.integers(-(10**12), 10**12), st.integers(0, 10**12),
    ),
    max_size=14,
)  # fmt: skip


@given(sums)
def test_all_cost_is_laid_on_somebody_once(items):
    """Whatever is shared by whatever weights: the costs sum to what was spent, to the nano-unit."""
    used = attributed(items, BASE)
    assert sum(one.nano for one in used) == sum(item.spend_nano for item in items)
    assert sum(one.calls for one in used) == sum(item.calls for item in items)
    for columns in range(len(BASE) + 1):
        assert sum(one.nano for one in grouped(used, columns)) == sum(item.spend_nano for item in items)


def usage(*group, worth, nano=0, calls=1):
    return Sums(
        group=(*group, "usage"), currency="CAD", calls=calls, attempts=calls, tokens_in=10,
        spend_nano=nano, contracted_nano=worth,
    )  # fmt: skip


def share(*group, nano, kind="reserved"):
    return Sums(group=(*group, kind), currency="CAD", entries=1, spend_nano=nano)


def test_capacity_is_laid_on_its_users_and_idle_on_all_of_them():
    """An app's share on that app's calls by their worth; what idled on every call of the deployment."""
    used = attributed(
        [
            usage("chat", "m", "here", "teller", worth=300),
            usage("pro", "m", "here", "teller", worth=100),
            usage("chat", "m", "here", "lab", worth=400),
            usage("chat", "m", "there", "lab", worth=900, nano=900),
            share("", "m", "here", "teller", nano=400),
            share("", "m", "here", "lab", nano=50),
            share("", "m", "here", "", nano=80),
            share("", "m", "", "", nano=7, kind="adjust"),
        ],
        BASE,
    )
    costs = {one.group: (one.nano, one.idle_nano) for one in used}
    assert costs == {
        ("chat", "m", "here", "teller"): (300 + 30, 30),
        ("pro", "m", "here", "teller"): (100 + 10, 10),
        ("chat", "m", "here", "lab"): (50 + 40, 40),
        ("chat", "m", "there", "lab"): (900, 0),
        ("–", "m", "–", "–"): (7, 0),
    }


def test_capacity_that_nobody_used_stays_a_row():
    """There is no call to lay it on: it is shown as nobody's, and as idle."""
    [one] = attributed([share("", "m", "here", "", nano=80)], BASE)
    assert (one.calls, one.nano, one.idle_nano) == (0, 80, 80)
