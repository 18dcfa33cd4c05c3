"""Points that must agree: the linked cursor, and distances between markups."""

from __future__ import annotations

from ...mrml.cursor import CURSOR, LinkedCursor
from ...mrml.detector import detectors
from ...mrml.landmarks import Distance, distances
from ...mrml.nodes import is_placing, place, stop_placing
from ...mrml.xray import XRayView
from ..translation import _
from .section import Presenter


class CursorPresenter(Presenter):
    """A point in any view shows in all: a line in the other X-rays, and with a second X-ray a point in the CT."""

    def reset(self) -> None:
        self.cursor = LinkedCursor(self.registration) if self.registration is not None else None

    @property
    def placing(self) -> bool:
        """Whether a click in a view places the point."""
        points = self.registration and self.registration.node.GetNodeReference(CURSOR)
        return points is not None and is_placing(points)

    def lines(self) -> list[str]:
        """What the cursor says, a sentence each."""
        if self.cursor is None:
            return []
        reading, lines = self.cursor.reading, []
        if reading.ras is not None:
            r, a, s = self.cursor.ct_ras
            lines.append(_("In the CT at R {r:.1f}, A {a:.1f}, S {s:.1f} mm.").format(r=r, a=a, s=s))
            if reading.residual_mm is not None:
                missed = _("The rays miss it by up to {mm:.1f} mm, {px:.1f} pixels.")
                lines.append(missed.format(mm=reading.residual_mm, px=reading.residual_px))
        elif len(reading.seen) == 1:
            lines.append(_("Click the same point in another X-ray, on the line."))
        return [*lines, *filter(None, [reading.caution])]

    def distances(self) -> list[tuple[str, str]]:
        """What is measured, and its length. InputError as `mrml.landmarks.distances`."""
        found = distances(self.registration) if self.registration.ct is not None else ()
        return [(distance.name, _length(distance)) for distance in found]

    def tick(self) -> bool:
        """Follow the point, whoever moves it; whether anything changed."""
        return self.cursor is not None and self.cursor.update()

    # What a person does

    def place(self) -> None:
        """Have clicks in the views place the point."""
        place(self.cursor.points)

    def stop(self) -> None:
        """Clicks are what they were before."""
        if self.registration is not None and self.registration.scene is not None and self.placing:
            stop_placing(self.registration.scene)

    def put(self, view: XRayView, column: float, row: float) -> None:
        """Place the point on a pixel of an X-ray."""
        for detector in detectors(self.registration):
            if detector.view == view:
                self.cursor.points.AddControlPoint(*map(float, detector.on_plane([column, row])))
        self.cursor.update()

    def clear(self) -> None:
        """Take the point away."""
        if self.cursor is not None:
            self.cursor.clear()


def _length(distance: Distance) -> str:
    if distance.at_ct_mm is None:
        return _("{mm:.1f} mm").format(mm=distance.mm)
    return _("{ct:.1f} mm at the CT's depth ({mm:.1f} mm on the detector)").format(ct=distance.at_ct_mm, mm=distance.mm)
