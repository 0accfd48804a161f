"""The picture of a section, as vectors of a PDF: bars side by side, or lines with the range of a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.charts.legends import Legend
from reportlab.graphics.charts.linecharts import HorizontalLineChart
from reportlab.graphics.shapes import Drawing
from reportlab.lib import colors

from gateway.reports.document import Cell, Chart, Document, Section
from gateway.reports.writers.cells import heading, number, shown
from gateway.reports.writers.lettering import BODY, spelled

_HEIGHT = 190.0
_BARS: Final = 24
_POINTS: Final = 400
_LABELS: Final = 16
_LONGEST: Final = 24
# Told apart in grey and by readers who see no red or green (Okabe and Ito).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


def drawing(document: Document, section: Section, chart: Chart, width: float) -> Drawing:
    """Return the picture. A bar chart of many rows shows the first ones; its table shows all."""
    columns = {column.name: index for index, column in enumerate(section.columns)}
    rows = section.rows[: _BARS if chart.kind == "bar" else _POINTS]
    bounds = [name for name in (chart.low, chart.high) if name]
    names = [*chart.y, *bounds]
    # reportlab draws floats: a picture is approximate, the table beside it is not.
    series = [[float(number(row[columns[name]])) for row in rows] for name in names]
    labels = _labels(section, rows, columns[chart.x])
    plot: Any = VerticalBarChart() if chart.kind == "bar" else HorizontalLineChart()
    turned = sum(map(len, labels[:: max(1, -(-len(labels) // _LABELS))])) > width / 5
    below = 52 if turned else 22
    plot.x, plot.y, plot.width, plot.height = 52, below, width - 64, _HEIGHT - below - 30
    plot.data = series
    every = max(1, -(-len(labels) // _LABELS))
    plot.categoryAxis.categoryNames = [
        label if not index % every else "" for index, label in enumerate(labels)
    ]
    plot.categoryAxis.labels.fontName = plot.valueAxis.labels.fontName = BODY
    plot.categoryAxis.labels.fontSize = plot.valueAxis.labels.fontSize = 6.5
    plot.categoryAxis.labels.angle = 25 if turned else 0
    plot.categoryAxis.labels.boxAnchor = "ne" if turned else "n"
    plot.categoryAxis.strokeColor = plot.valueAxis.strokeColor = colors.HexColor("#8A94A3")
    plot.valueAxis.labelTextFormat = _amount
    plot.valueAxis.visibleGrid = True
    plot.valueAxis.gridStrokeColor = colors.HexColor("#E3E7EC")
    flat = [value for values in series for value in values]
    plot.valueAxis.valueMin = min(0.0, *flat) if flat else 0.0
    if not any(flat):
        plot.valueAxis.valueMax = 1.0
    _paint(plot, chart, len(chart.y), len(bounds))
    picture = Drawing(width, _HEIGHT)
    picture.add(plot)
    picture.add(_legend(document, section, columns, names, width))
    return picture


def _paint(plot: Any, chart: Chart, drawn: int, bounds: int) -> None:
    for index in range(drawn + bounds):
        colour = colors.HexColor(_colour(index, drawn))
        if chart.kind == "bar":
            plot.bars[index].fillColor = colour
            plot.bars[index].strokeColor = None
            continue
        plot.lines[index].strokeColor = colour
        plot.lines[index].strokeWidth = 1.6 if index < drawn else 0.9
        if index >= drawn:
            plot.lines[index].strokeDashArray = [3, 2]
    if chart.kind == "bar":
        plot.groupSpacing = 8
        plot.barSpacing = 1


def _colour(index: int, drawn: int) -> str:
    # The range of a forecast is paler than what it bounds.
    return _COLOURS[index % len(_COLOURS)] if index < drawn else "#7FA8C9"


def _legend(
    document: Document, section: Section, columns: dict[str, int], names: list[str], width: float
) -> Legend:
    legend = Legend()
    legend.x, legend.y = 52, _HEIGHT - 8
    legend.boxAnchor = "nw"
    legend.alignment = "right"
    legend.fontName, legend.fontSize = BODY, 7
    legend.dx, legend.dy, legend.dxTextSpace = 7, 7, 4
    legend.columnMaximum = 1
    legend.deltax = min(120, (width - 60) / max(1, len(names)))
    legend.strokeColor = None
    drawn = len(names) - sum(
        name in {section.chart.low, section.chart.high} for name in names if section.chart
    )
    legend.colorNamePairs = [
        (colors.HexColor(_colour(index, drawn)), spelled(heading(section.columns[columns[name]], document)))
        for index, name in enumerate(names)
    ]
    return legend


def _labels(section: Section, rows: Sequence[tuple[Cell, ...]], x: int) -> list[str]:
    """Return a label per row; where a column names several rows alike, with what else tells them apart."""
    labels = [shown(row[x], section.columns[x]) for row in rows]
    if len(set(labels)) < len(labels):
        texts = [index for index, column in enumerate(section.columns) if column.kind == "text"]
        telling = [index for index in texts if len({row[index] for row in section.rows}) > 1]
        labels = [
            " ".join(shown(row[index], section.columns[index]) for index in telling or [x]) for row in rows
        ]
    return [_label(label) for label in labels]


def _label(text: str) -> str:
    # The end of a long label tells more: its first words repeat from bar to bar.
    return spelled(text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}")


def _amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:,.4f}".rstrip("0")
