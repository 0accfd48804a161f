"""The list of sources: each has its reader."""

from __future__ import annotations

import pytest

from gateway.adapters.vendor_costs import COUNTS_ONLY, SOURCES, reader_of
from gateway.adapters.vendor_costs.cells import BadFile, Options


@pytest.mark.parametrize("source", sorted(set(SOURCES) - {"csv"}))
def test_every_source_has_a_reader_that_refuses_another_file(tmp_path, source) -> None:
    file = tmp_path / "other.txt"
    file.write_text("these,are\nno,costs\n")
    with pytest.raises(BadFile, match=r"other\.txt"):
        list(reader_of(source)(file, Options()))
    with pytest.raises(BadFile, match="cannot be read"):
        list(reader_of(source)(tmp_path / "gone.txt", Options()))


def test_what_only_counts_is_a_source() -> None:
    assert set(SOURCES) > COUNTS_ONLY
