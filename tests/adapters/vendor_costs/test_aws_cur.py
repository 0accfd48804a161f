"""AWS's report: Bedrock's lines and the marketplace's, packed or not; other services are left out."""

from __future__ import annotations

import gzip

import pytest

from gateway.adapters.vendor_costs import BadFile
from tests.adapters.vendor_costs.golden import EXPECTED, FOLDER, as_parquet, holds, plain, read


def test_the_golden_file_is_read_as_it_means() -> None:
    holds("aws_cur.csv", "aws-cur")


def test_a_packed_file_is_the_same(tmp_path) -> None:
    file = tmp_path / "cur.csv.gz"
    file.write_bytes(gzip.compress((FOLDER / "aws_cur.csv").read_bytes()))
    assert [plain(line) for line in read(file, "aws-cur")] == EXPECTED["aws_cur.csv"]


def test_doubles_of_parquet_are_the_decimals_that_they_stand_for(tmp_path) -> None:
    import pyarrow as pa

    stamp = pa.timestamp("ms")
    path = as_parquet(
        "aws_cur.csv", tmp_path, line_item_unblended_cost=pa.float64(), line_item_usage_amount=pa.float64(),
        line_item_usage_start_date=stamp, line_item_usage_end_date=stamp,
    )  # fmt: skip
    found = [plain(line) for line in read(path, "aws-cur")]
    assert found == [{**line, "row": line["row"] - 1} for line in EXPECTED["aws_cur.csv"]]


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_packed_file_that_was_cut_off_is_refused(tmp_path, cut) -> None:
    packed = gzip.compress((FOLDER / "aws_cur.csv").read_bytes())
    file = tmp_path / "cur.csv.gz"
    file.write_bytes(packed[:-cut])
    with pytest.raises(BadFile, match=r"too early|damaged"):
        read(file, "aws-cur")


def test_a_line_of_an_unknown_type_is_refused(tmp_path) -> None:
    file = tmp_path / "cur.csv"
    file.write_text((FOLDER / "aws_cur.csv").read_text().replace("EdpDiscount", "SurpriseFee"))
    with pytest.raises(BadFile, match=r"cur\.csv:5: .*SurpriseFee"):
        read(file, "aws-cur")
