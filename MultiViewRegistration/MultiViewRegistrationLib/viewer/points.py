"""The linked cursor in the page: a point that is clicked in an X-ray shows in all views."""

from __future__ import annotations

from ..mrml.cursor import LinkedCursor
from ..mrml.detector import detectors


class Points:
    """Holds the `mrml.cursor.LinkedCursor` of the registration at work."""

    def __init__(self, application) -> None:
        self._application = application
        self.cursor: LinkedCursor | None = None

    def adopt(self) -> None:
        """There is another registration at work, or none."""
        registration = self._application.registration
        self.cursor = registration and LinkedCursor(registration)

    def put(self, view, column: float, row: float) -> None:
        """A point was clicked on a pixel of an X-ray."""
        part = self._application.sections["start"].landmarks
        with self._application.acting():
            if part.clicking:
                part.presenter.put(view, column, row)
                return
            for detector in detectors(self._application.registration):
                if detector.view == view:
                    self.cursor.points.AddControlPoint(*map(float, detector.on_plane([column, row])))
            self.cursor.update()

    def clear(self) -> None:
        """Take the point away."""
        with self._application.acting():
            self.cursor.clear()

    def tick(self) -> bool:
        """Follow the point, whoever moves it; whether anything changed."""
        return self.cursor is not None and self.cursor.update()

    def told(self) -> list[str]:
        """What the cursor says, a sentence each."""
        if self.cursor is None:
            return []
        reading, told = self.cursor.reading, []
        if reading.ras is not None:
            r, a, s = self.cursor.ct_ras
            told.append(f"In the CT at R {r:.1f}, A {a:.1f}, S {s:.1f} mm.")
            if reading.residual_mm is not None:
                told.append(
                    f"The rays miss it by up to {reading.residual_mm:.1f} mm, {reading.residual_px:.1f} pixels."
                )
        elif len(reading.seen) == 1:
            told.append("Click the same point in another X-ray, on the line.")
        return [*told, *filter(None, [reading.caution])]
