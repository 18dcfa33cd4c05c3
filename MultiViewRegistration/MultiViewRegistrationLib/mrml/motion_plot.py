"""The motion of one structure against another as a table and two charts of Slicer's, which go with the registration."""

from __future__ import annotations

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk

from .nodes import product
from .registration import Registration

TABLE, CHARTS = "motionTable", ("motionTurn", "motionShift")
#: Of x, y, z and the size; told apart without colour, too.
COLOURS = ((0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.80, 0.47, 0.65), (0.5, 0.5, 0.5))
DASHES = ("LineStyleSolid", "LineStyleDash", "LineStyleDot", "LineStyleDashDot")
FRAME = "frame"


def put(registration: Registration, motion) -> list:
    """Make the table and the charts, in place of those of another motion; the chart of the turn and that of the shift."""
    table = product(registration.node, TABLE, "vtkMRMLTableNode", f"{registration.name} motion")
    table.RemoveAllColumns()
    _fill(table, FRAME, [each.number for each in motion.motion])
    charts = []
    for role, (name, unit, lines) in zip(CHARTS, motion.curves, strict=True):
        chart = product(registration.node, role, "vtkMRMLPlotChartNode", f"{name} of {motion.moving}")
        chart.SetName(f"{name}: {motion.title}")
        chart.SetTitle(f"{name}: {motion.title}")
        chart.SetXAxisTitle(FRAME)
        chart.SetYAxisTitle(unit)
        chart.RemoveAllPlotSeriesNodeIDs()
        for number, (line, values) in enumerate(lines):
            column = f"{name} {line} ({unit})"
            _fill(table, column, values)
            chart.AddAndObservePlotSeriesNodeID(_series(chart, table, column, line, number).GetID())
        charts.append(chart)
    return charts


def show(chart) -> None:
    """Show a chart in a plot view of Slicer's."""
    slicer.modules.plots.logic().ShowChartInLayout(chart)


def charts_of(registration: Registration) -> list:
    """Those that `put` made; None for one that is not there."""
    return [registration.node.GetNodeReference(role) for role in CHARTS]


def _series(chart, table, column: str, line: str, number: int):
    series = product(chart, f"series{number}", "vtkMRMLPlotSeriesNode", line)
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName(FRAME)
    series.SetYColumnName(column)
    series.SetColor(*COLOURS[number])
    series.SetLineStyle(getattr(slicer.vtkMRMLPlotSeriesNode, DASHES[number]))
    return series


def _fill(table, name: str, values) -> None:
    column = numpy_to_vtk(np.asarray(values, float), deep=True)
    column.SetName(name)
    table.AddColumn(column)
