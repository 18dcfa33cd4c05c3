"""Learning curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from .line_plot import Axis, Line, line_plot, svg_file


def curves(losses: Sequence[Sequence[float]], validation: Sequence[Sequence[float]]) -> str:
    """An SVG file: the error of random images against the seconds of training, all views together and each alone, and the loss.

    Parameters
    ----------
    losses : (step, loss) of each.
    validation : (step, seconds, error together, error of each view, ...) of each, mm.
    """
    seconds = [row[1] for row in validation]
    names = [
        "both views" if len(validation[0]) == 5 else "all views",
        *(f"view {n}" for n in range(1, len(validation[0]) - 2)),
    ]
    lines = [Line(name, seconds, [row[column] for row in validation]) for column, name in enumerate(names, start=2)]
    lines = lines if len(lines) > 2 else lines[:1]
    error = line_plot(lines, "Error of random images", Axis("seconds of training"), Axis("error (mm)", "log"))
    loss = Line("loss", [row[0] for row in losses], [row[1] for row in losses])
    return svg_file([error, line_plot([loss], "Loss", Axis("step"), Axis("loss"))], lines if len(lines) > 1 else ())
