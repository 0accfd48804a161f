"""The pictures of a statement: what they draw is what the table says."""

from __future__ import annotations

from dataclasses import replace

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.charts.linecharts import HorizontalLineChart

from gateway.reports.writers.drawing import drawing
from gateway.reports.writers.lettering import load
from tests.reports.writers.documents import statement


def picture(section, width=500.0):
    load()
    return drawing(statement(), section, section.chart, width)


def plot(section, kind):
    return next(item for item in picture(section).contents if isinstance(item, kind))


def test_bars_are_the_columns_that_the_chart_names():
    """Spend beside budget, per cost centre."""
    found = plot(statement().sections[0], VerticalBarChart)
    assert found.data == [[573.85, 574.85, 575.85, 576.85], [2500.0] * 4]
    assert found.categoryAxis.categoryNames[1] == "Straßenbau Köln"
    assert found.valueAxis.valueMin == 0


def test_a_forecast_has_its_range():
    """Expected, low and high over the days; not every day can have its label."""
    found = plot(statement().sections[1], HorizontalLineChart)
    assert [len(line) for line in found.data] == [30, 30, 30]
    assert (found.data[0][-1], found.data[1][-1], found.data[2][-1]) == (903.0, 870.0, 976.5)
    assert 0 < len([name for name in found.categoryAxis.categoryNames if name]) <= 16


def test_many_bars_are_cut_and_nothing_is_drawn_of_zeros():
    """A picture of a thousand bars is none; a month of zeros still has an axis."""
    assert len(plot(statement(rows=99).sections[0], VerticalBarChart).data[0]) == 24
    first = statement().sections[0]
    zeros = replace(first, rows=tuple((*row[:4], None, None, None, None) for row in first.rows))
    assert plot(zeros, VerticalBarChart).valueAxis.valueMax == 1.0


def test_the_legend_names_every_series():
    """By the column's title."""
    legend = picture(statement().sections[1]).contents[1]
    assert [name for _, name in legend.colorNamePairs] == ["Expected", "Low", "High"]
    assert picture(replace(statement().sections[0])).contents[1].colorNamePairs[1][1] == "Budget"


def test_rows_of_one_name_are_told_apart():
    """A chart by cost centre of several teams: each bar says which."""
    first = statement().sections[0]
    rows = tuple(("4400", f"team {number}", *row[2:]) for number, row in enumerate(first.rows))
    found = plot(replace(first, rows=rows, chart=replace(first.chart, x="cost_centre")), VerticalBarChart)
    assert found.categoryAxis.categoryNames == ["team 0", "team 1", "team 2", "team 3"]
