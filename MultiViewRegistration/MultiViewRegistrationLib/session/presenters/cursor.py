"""Points that must agree: the linked cursor, and distances between markups."""

from __future__ import annotations

from time import monotonic

from ...mrml.cursor import CURSOR, LinkedCursor
from ...mrml.landmarks import Distance, distances, place_line
from ...mrml.nodes import is_placing, place, stop_placing
from ...mrml.xray import XRayView, detectors
from ...translation import _
from .form import Button, Form, Table, group, line, quiet, row
from .section import Presenter

#: Seconds between two looks at the markups.
MEASURE_S = 0.3


class CursorPresenter(Presenter):
    """The linked cursor: a point in any view shows in all.

    It is a line in the other X-rays, and with a second X-ray a point in the CT.

    Attributes
    ----------
    shown
        The cursor in the scene; None without a registration.
    """

    def reset(self) -> None:
        """Forget all that belongs to the registration at work before."""
        self.shown = LinkedCursor(self.registration) if self.host.registration is not None else None
        self._moved = False
        self._placing = False
        self._measured = 0.0
        self._distances: list[tuple[str, str]] = []

    @property
    def _cursor(self) -> LinkedCursor:
        assert self.shown is not None
        return self.shown

    @property
    def placing(self) -> bool:
        """Whether a click in a view places the point."""
        points = self.host.registration and self.registration.node.GetNodeReference(CURSOR)
        return points is not None and is_placing(points)

    def form(self) -> Form:
        """Return the controls."""
        lines = self._lines()
        in_slicer = self.in_slicer
        measured = tuple(line(str(n), *each) for n, each in enumerate(self._distances))
        return [
            group(
                "points",
                _("Linked cursor"),
                quiet(
                    "cursor",
                    " ".join(lines) or _("A point clicked in an X-ray is a line in the others."),
                ),
                row(
                    "place",
                    Button(
                        "place_cursor",
                        _("Click a point") if in_slicer else _("Click in the slices"),
                        self.place,
                        on=self.placing,
                        tip=_(
                            "Click a point in an X-ray: its epipolar line shows in the others, and "
                            "a second click there finds the point in the CT. A point clicked in "
                            "the CT or in 3D shows in all X-rays."
                        ),
                    ),
                    Button(
                        "clear_cursor",
                        _("Clear"),
                        self.clear,
                        enabled=bool(lines),
                        tip=_("Take the point away."),
                    ),
                ),
            ),
            group(
                "measure",
                _("Distances"),
                Table("distances", columns=(_("Between"), _("Distance")), lines=measured)
                if measured
                else None,
                Button(
                    "line",
                    _("Measure a distance"),
                    self.place_line,
                    tip=_("Place a markups line with two clicks."),
                ),
                open=False,
            ),
        ]

    def _lines(self) -> list[str]:
        """Return the reading of the cursor, a sentence each."""
        reading = self._cursor.reading
        ct_ras = self._cursor.ct_ras
        lines = []
        if ct_ras is not None:
            r, a, s = ct_ras
            lines.append(
                _("In the CT at R {r:.1f}, A {a:.1f}, S {s:.1f} mm.").format(r=r, a=a, s=s)
            )
            if reading.residual_mm is not None:
                missed = _("The rays miss it by up to {mm:.1f} mm, {px:.1f} pixels.")
                lines.append(missed.format(mm=reading.residual_mm, px=reading.residual_px))
        elif len(reading.seen) == 1:
            lines.append(_("Click the same point in another X-ray, on the line."))
        return [*lines, *filter(None, [reading.warning])]

    def update_views(self) -> None:
        """Keep true what the views show."""
        self._moved |= self._cursor.update()

    def tick(self) -> bool:
        """Look at the markups, and return whether there is something new to show."""
        # ended by Escape, or by another tool
        placing = self._placing
        self._placing = self.placing
        changed = self._moved or placing != self._placing
        self._moved = False
        if monotonic() - self._measured > MEASURE_S:
            self._measured = monotonic()
            before = self._distances
            found = distances(self.registration) if self.registration.ct is not None else ()
            self._distances = [(distance.name, _length(distance)) for distance in found]
            changed |= self._distances != before
        return changed

    # What a person does

    def place(self) -> None:
        """Have clicks in the views place the point, or end that."""
        if self.placing:
            self.stop()
            return
        self._show_slices()
        place(self._cursor.points)

    def stop(self) -> None:
        """Give clicks back their usual meaning."""
        if self.placing and self.registration.scene is not None:
            stop_placing(self.registration.scene)

    def put(self, view: XRayView, column: float, row: float) -> None:
        """Place the point on a pixel of an X-ray."""
        for detector in detectors(self.registration):
            if detector.view == view:
                self._cursor.points.AddControlPoint(*map(float, detector.on_plane([column, row])))
        self.update_views()

    def clear(self) -> None:
        """Take the point away."""
        if self.shown is not None:
            self.shown.clear()

    def place_line(self) -> None:
        """Have two clicks in a view place a line to measure."""
        self._show_slices()
        place_line(self.registration.scene, _("Distance"))

    def _show_slices(self) -> None:
        if (
            not self.in_slicer
        ):  # where a click in an X-ray places the point at any time, and nothing else
            self.host.views.show_ct_slices()


def _length(distance: Distance) -> str:
    if distance.at_ct_mm is None:
        return _("{mm:.1f} mm").format(mm=distance.mm)
    return _("{ct:.1f} mm at the CT's depth ({mm:.1f} mm on the detector)").format(
        ct=distance.at_ct_mm, mm=distance.mm
    )
