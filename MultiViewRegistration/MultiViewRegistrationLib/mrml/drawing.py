"""Overlays that follow the CT.

Coarse while it moves, sharp once it stops, in steps short enough for a responsive window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import XRay
from ..known import Known
from . import overlay
from .nodes import in_batch
from .registration import MAX_VIEWS, Registration
from .xray import DetectorPlane, GreyRange, XRayView, detectors

if TYPE_CHECKING:
    from ..registration.prepared_ct import PreparedCT
    from ..report.overlays import Film

#: Of the values that are compared: less than all, so that a screw or a speck decides nothing.
PERCENTILES = (1.0, 99.0)
MIN_PIXELS = 100
#: By what share of a window's width it may be off before other greys are better.
TOLERANCE = 0.2


@dataclass(frozen=True)
class ToneMatch:
    """Two values of a DRR, and those of the X-ray that look like them.

    Both are line integrals, of unlike gain and offset.
    """

    drr: GreyRange
    xray: GreyRange

    @classmethod
    def of(cls, line_integrals: np.ndarray, valid: np.ndarray, drr: np.ndarray) -> ToneMatch | None:
        """Return the match of an X-ray and a DRR of the same shape, NaN where it has no value.

        None where they have little in common.
        """
        both = valid & np.isfinite(drr)
        if np.count_nonzero(both) < MIN_PIXELS:
            return None
        return cls(_spread(drr[both]), _spread(line_integrals[both]))

    @classmethod
    def alone(cls, drr: np.ndarray, window: GreyRange) -> ToneMatch:
        """Return the match of a DRR that fills a window (low, high) of the X-ray by itself."""
        shown = drr[np.isfinite(drr)]
        return cls(_spread(shown) if shown.size else (0.0, 1.0), window)

    def window(self, low: float, high: float) -> GreyRange:
        """Return the DRR's window that goes with the X-ray's."""
        gain, offset = self.line
        return (low - offset) / gain, (high - offset) / gain

    @property
    def line(self) -> tuple[float, float]:
        """Return (gain, offset): gain * DRR + offset are the line integrals of the X-ray that look like it."""
        gain = (self.xray[1] - self.xray[0]) / (self.drr[1] - self.drr[0])
        return gain, self.xray[0] - gain * self.drr[0]

    def suits(self, other: ToneMatch, low: float, high: float) -> bool:
        """Return whether the other's window is much like this one's, for an X-ray's window."""
        here = np.array(self.window(low, high))
        there = np.array(other.window(low, high))
        return bool(np.abs(here - there).max() <= TOLERANCE * (there[1] - there[0]))


def _spread(values: np.ndarray) -> GreyRange:
    low, high = map(float, np.percentile(values, PERCENTILES))
    return low, max(high, low + 1e-3)


#: How an image is drawn while the CT moves, the finest first: the longest side that it may have in
#: pixels, and how many of its pixels, as large as they are at the patient, a voxel may be wide.
COARSE = ((256, 2.2), (256, 3.5), (172, 2.4), (128, 2.2), (128, 3.5), (64, 2.2))
#: What a view costs so, beside the others.
DRAWING_COSTS = (28, 14, 8, 5, 2, 1)
#: The first one: quick on any machine, and its time shows the machine's speed.
FIRST_COARSENESS = 3
SHARP = (768, 1.0)
#: Seconds without a move after which overlays are drawn sharp; while a registration runs, which
#: needs the processor and soon moves the CT.
REST_S = 0.25
BUSY_REST_S = 10.0
#: For so many seconds after the user pointed at a view, the others are drawn so many steps more
#: coarsely.
FOCUS_S = 1.0
COARSER_STEPS = 2
#: Seconds that the pictures of all views may take, and less than which finer ones should take to be
#: tried.
FRAME_BUDGET_S = 0.03
REFINE_BUDGET_S = 0.02
#: Seconds of a step in which a sharp image is drawn.
SHARPENING_S = 0.04
#: By how much of what it differs the pace of a machine is corrected after a picture.
PACE_CORRECTION = 0.4
#: Rows of a sharp image that are drawn at once.
BAND_ROWS = 32
#: Line integrals from which on a DRR shows something: a millimetre of water.
MIN_VISIBLE_LINE_INTEGRAL = 0.02


class Canvas(Protocol):
    """Where overlays are shown: volumes in the X-rays' slice views, or layers that a page fetches."""

    def kind(self, mode: str) -> str | None:
        """Return what lies over an X-ray in one of overlay.MODES: overlay.DRR or PICTURE.

        None for nothing.
        """

    def foreground(self, view: XRayView, mode: str) -> Any:
        """Return what lies over an X-ray in this mode; None where there is nothing (yet)."""

    def remove(self, view: XRayView, but: str = "off") -> None:
        """Remove what a mode does not use, as it no longer shows where the CT is."""

    def show(self, detector: DetectorPlane, kind: str, image: np.ndarray, factor: int) -> None:
        """Lay an image over an X-ray.

        Parameters
        ----------
        detector
            The X-ray's.
        kind
            Of the image, see `kind`.
        image
            A DRR (rows, columns), NaN where it has no value; or a picture of `picture_of`.
        factor
            How many pixels of the X-ray one of these is wide.
        """

    def shade(self, view: XRayView, tones: ToneMatch) -> None:
        """Show the DRR over an X-ray in these greys."""

    def picture_of(self, mode: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
        """Make the picture of a mode, uint8 (rows, columns, 3 or 4), see `report.overlays`."""


@dataclass
class Drawn:
    """The inputs of a view's overlay, and whether it is sharp."""

    of: tuple
    sharp: bool = False


class Drawing:
    """The overlays of one registration; `step` is called from a timer.

    Parameters
    ----------
    registration
        Whose X-rays they lie over.
    drawn
        Returns the prepared CT with what is beside it, and its pose (4, 4); None before there is one.
    xray
        Returns what is used of an X-ray, or raises InputError.
    busy
        Returns whether a registration runs.

    Attributes
    ----------
    mode
        One of overlay.MODES.
    canvas
        What shows the pictures.
    one_by_one
        Whether a step makes no more than one new overlay, which takes Slicer a tenth of a second.
    """

    def __init__(
        self,
        registration: Registration,
        drawn: Callable[[], tuple[PreparedCT, np.ndarray] | None],
        xray: Callable[[XRayView], XRay],
        busy: Callable[[], bool],
    ) -> None:
        self._registration = registration
        self._find = drawn
        self._xray = xray
        self._busy = busy
        self.canvas: Canvas = overlay.SliceCanvas()
        self.mode = "blend"
        self.one_by_one = False
        self._coarse = FIRST_COARSENESS
        self._pace = 0.0
        self._detectors: list[DetectorPlane] = []
        self._drawn: dict[str, Drawn] = {}
        self._sharpening: tuple[str, Iterator[None]] | None = None
        self._tone_matches: dict[str, tuple[tuple, ToneMatch]] = {}
        self._films = Known()
        self._modes: dict[str, str] = {}
        self._moved = 0.0
        self._looked_at: tuple[XRayView | None, float] = (None, 0.0)

    def _take_off(self, drawn: bool) -> None:
        """Remove what belongs to another mode, or to none while no view is drawn."""
        views = self._registration.xrays
        modes = {view.id: self.mode if drawn and view.placed else "off" for view in views}
        if modes == self._modes:
            return
        with in_batch(self._registration.scene):
            for view in views:
                self.canvas.remove(view, modes[view.id])
        self._modes = modes

    def step(self, first: XRayView | None = None) -> bool:
        """Draw the overlays that are out of date, all views coarsely or a part of one sharply.

        Parameters
        ----------
        first
            The view that the user is pointing at; if it is out of date it is drawn alone, the
            others more coarsely in the next step.

        Returns
        -------
        bool
            Whether there was anything to draw.
        """
        drawn = self._find()
        if first is not None or perf_counter() - self._looked_at[1] > FOCUS_S:
            self._looked_at = first, perf_counter()
        self._take_off(drawn is not None)
        if drawn is None or self.mode == "off":
            self._drawn = {}
            self._sharpening = None
            return False
        self._detectors = detectors(self._registration)
        wanted = {_name(each): (each, self._wanted(each, *drawn)) for each in self._detectors}
        self._drawn = {name: drawn for name, drawn in self._drawn.items() if name in wanted}
        stale = {name: made for name, made in wanted.items() if self._is_stale(name, *made)}
        if stale:
            urgent = {name: found for name, found in stale.items() if found[0].view == first}
            new = [name for name in stale if self.one_by_one and name not in self._drawn][:1]
            self._draw_coarse(urgent or {name: stale[name] for name in new} or stale, *drawn)
            return True
        for detector in self._detectors:
            self._shade(detector)
        rest_s = BUSY_REST_S if self._busy() else REST_S
        return perf_counter() - self._moved >= rest_s and self._draw_sharp(wanted, *drawn)

    @property
    def at_rest(self) -> bool:
        """Whether the CT has not moved for a while."""
        return perf_counter() - self._moved > REST_S

    @property
    def sharp(self) -> bool:
        """Whether all that there is to draw is drawn as finely as it will be."""
        return all(drawn.sharp for drawn in self._drawn.values())

    def finish(self) -> None:
        """Draw until all is sharp."""
        while self.step() or not self.sharp:
            pass

    # What is out of date

    def _wanted(self, detector: DetectorPlane, anatomy: PreparedCT, pose: np.ndarray) -> tuple:
        """Return the inputs for a view's overlay.

        The last is None where the X-ray cannot be used.
        """
        try:
            xray = self._xray(detector.view)
        except InputError:
            xray = None
        kind = overlay.DRR if self.canvas.kind(self.mode) == overlay.DRR else self.mode
        beside = dict(anatomy.beside)
        places = np.round([pose, *beside.values()], 9).tobytes()
        return kind, (anatomy.attenuation(0), *beside), detector.stamp, places, xray

    def _is_stale(self, name: str, detector: DetectorPlane, of: tuple) -> bool:
        drawn = self._drawn.get(name)
        if drawn is None or drawn.of != of:
            return True
        return of[-1] is not None and self.canvas.foreground(detector.view, self.mode) is None

    # Drawing

    def _draw_coarse(
        self,
        stale: dict[str, tuple[DetectorPlane, tuple]],
        anatomy: PreparedCT,
        pose: np.ndarray,
    ) -> None:
        began = perf_counter()
        self._sharpening = None
        for name, (detector, of) in stale.items():
            pixels, voxels = COARSE[self._step_of(detector, self._coarse)]
            factor = pooling_of(detector, pixels)
            camera = detector.camera.pooled(factor)
            drr = anatomy.drr(
                camera, pose, _level(anatomy, camera, pose, voxels), bones=self.mode == "edges"
            )
            self._show(detector, of, drr, factor, structure=anatomy.structure)
            self._drawn[name] = Drawn(of)
        self._moved = perf_counter()
        self._adapt(
            (self._moved - began)
            / self._cost([detector for detector, _ in stale.values()], self._coarse)
        )

    def _step_of(self, detector: DetectorPlane, coarse: int) -> int:
        """Return the step of COARSE for a view, if the one in focus is drawn by this."""
        beside = self._looked_at[0] is not None and detector.view != self._looked_at[0]
        return min(coarse + COARSER_STEPS * beside, len(COARSE) - 1)

    def _cost(self, drawn: list[DetectorPlane], coarse: int) -> float:
        """Return the cost of drawing these views so, in DRAWING_COSTS."""
        return sum(DRAWING_COSTS[self._step_of(detector, coarse)] for detector in drawn)

    def _draw_sharp(
        self,
        wanted: dict[str, tuple[DetectorPlane, tuple]],
        anatomy: PreparedCT,
        pose: np.ndarray,
    ) -> bool:
        """Go on with the first view that is not sharp, and return whether there is one."""
        name = next((name for name, drawn in self._drawn.items() if not drawn.sharp), None)
        if name is None:
            return False
        if self._sharpening is None or self._sharpening[0] != name:
            self._sharpening = name, self._sharpen(*wanted[name], anatomy, pose)
        began = perf_counter()
        for _ in self._sharpening[1]:
            if perf_counter() - began > SHARPENING_S:
                return True
        self._drawn[name].sharp = True
        self._sharpening = None
        return True

    def _sharpen(
        self, detector: DetectorPlane, of: tuple, anatomy: PreparedCT, pose: np.ndarray
    ) -> Iterator[None]:
        """Draw a view sharp, a band after the other.

        It is shown at the end, or never, should the CT move.
        """
        pixels, voxels = SHARP
        factor = pooling_of(detector, pixels)
        camera = detector.camera.pooled(factor)
        level = _level(anatomy, camera, pose, voxels)
        columns, rows = camera.size
        bands = []
        for top in range(0, rows, BAND_ROWS):
            band = camera.cropped(0, top, columns, min(BAND_ROWS, rows - top))
            bands.append(anatomy.drr(band, pose, level, bones=self.mode == "edges"))
            yield
        drr = np.concatenate(bands)
        self._fit_tones(detector, of, _shown(drr), factor)
        self._show(detector, of, drr, factor, structure=anatomy.structure)

    def _show(
        self, detector: DetectorPlane, of: tuple, drr: np.ndarray, factor: int, *, structure: bool
    ) -> None:
        xray = of[-1]
        kind = self.canvas.kind(self.mode)
        if xray is None or kind is None:
            self.canvas.remove(detector.view)
        elif kind == overlay.PICTURE:
            film = self._film(detector, xray, factor)
            picture = self.canvas.picture_of(self.mode, film, drr, structure=structure)
            self.canvas.show(detector, kind, picture, factor)
        else:
            drr = _shown(drr)
            if _name(detector) not in self._tone_matches:
                self._fit_tones(detector, of, drr, factor)
            self.canvas.show(detector, kind, drr, factor)
            self._shade(detector, drr)

    # Greys

    def _shade(self, detector: DetectorPlane, drr: np.ndarray | None = None) -> None:
        """Show the DRR in its greys; in those that fill the X-ray's window, where the two have nothing in common."""
        tone_match = self._tone_matches.get(_name(detector))
        if tone_match is not None:
            self.canvas.shade(detector.view, tone_match[1])
        elif drr is not None:
            self.canvas.shade(
                detector.view, ToneMatch.alone(drr, overlay.xray_window(detector.view))
            )

    def _fit_tones(self, detector: DetectorPlane, of: tuple, drr: np.ndarray, factor: int) -> None:
        """Find the greys for a DRR as it lies over its X-ray.

        Those there are stay unless they are far off, so that nothing flashes.
        """
        xray = of[-1]
        if xray is None or self.canvas.kind(self.mode) != overlay.DRR:
            return
        pooled = _pooled(xray, factor)
        found = ToneMatch.of(pooled.line_integrals, pooled.valid, drr)
        known = self._tone_matches.get(_name(detector))
        same = known[1] if known is not None and known[0] == (of[1], xray) else None
        if found is not None and (
            same is None or not found.suits(same, *overlay.xray_window(detector.view))
        ):
            self._tone_matches[_name(detector)] = (of[1], xray), found

    def _film(self, detector: DetectorPlane, xray: XRay, factor: int) -> Film:
        """Return the X-ray as pictures show it, made once for as long as it is the same."""
        from ..report.overlays import film_of

        return self._films.value(
            _name(detector), (xray, factor), lambda: film_of(_pooled(xray, factor))
        )

    def _adapt(self, pace: float) -> None:
        """Draw less finely where pictures take too long, more finely where there is time.

        One picture that takes long is no reason.

        Parameters
        ----------
        pace
            Seconds for each of DRAWING_COSTS.
        """
        self._pace += PACE_CORRECTION * (pace - self._pace) if self._pace else pace
        if self._pace * self._cost(self._detectors, self._coarse) > FRAME_BUDGET_S:
            self._coarse = min(self._coarse + 1, len(COARSE) - 1)
        elif (
            self._coarse
            and self._pace * self._cost(self._detectors, self._coarse - 1) < REFINE_BUDGET_S
        ):
            self._coarse -= 1


@lru_cache(maxsize=MAX_VIEWS)
def _pooled(xray: XRay, factor: int) -> XRay:
    """Return `XRay.pooled`, once for all drawings over it that are as fine."""
    return xray.pooled(factor)


def _name(detector: DetectorPlane) -> str:
    return detector.view.id


def pooling_of(detector: DetectorPlane, pixels: int = SHARP[0]) -> int:
    """Return the pooling factor that leaves at most so many pixels along an image's longest side, by default of a sharp DRR."""
    return -(-max(detector.camera.size) // pixels)


def _level(anatomy: PreparedCT, camera: Camera, world_from_ct: np.ndarray, voxels: float) -> int:
    """Return the level of the CT's pyramid whose voxels are so many pixels wide at most, where the CT is."""
    centre = rigid.transform_points(world_from_ct, anatomy.centroid)
    return anatomy.level(voxels * max(float(camera.pixel_mm(centre)[1]), 0.0))


def _shown(drr: np.ndarray) -> np.ndarray:
    """Return the DRR with NaN also where it shows nothing."""
    return np.where(drr > MIN_VISIBLE_LINE_INTEGRAL, drr, np.float32(np.nan))
