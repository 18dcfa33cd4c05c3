"""A case's geometry drawn as SVG.

The scene in 3D of a report, and case.html, to check a case before it is used.

The scene in 3D from a side, and each X-ray with the CT's box and the patient's directions in it.

The scene is an orthographic projection, in which a flat image is mapped by an affine matrix: the
X-rays on the detectors are exact.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from ..geometry.camera import Camera
from ..imaging.xray import View
from ..registration.prepared_ct import PreparedCT
from .html import beam, embedded, outline, page, png, polyline, tag

COLOURS = ("#56b4e9", "#cc79a7", "#2bbd8e", "#e8703a", "#b9a7ff")
"""Colours of the views: distinguishable with any colour vision, and named beside what they colour.
"""
BOX = "#f0c244"
PATIENT = {"L": "#ff8a80", "P": "#8fd694", "S": "#9ab8ff"}
OPPOSITE = {"L": "R", "P": "A", "S": "I"}
AXIS_MM = 100.0
EDGES = [[n, n | bit] for bit in (1, 2, 4) for n in range(8) if not n & bit]
#: Colour of the bones, pixels of their picture, and from how far they are seen, which makes
#: the beams parallel.
BONE = (236, 226, 205)
BONES_PIXELS = 400
AFAR_MM = 50_000.0
#: Width of a character in lines, on average.
GLYPH = 0.65
NEAREST = 1.0  # mm before the source: lines are cut there


SIDES = (("From one side", 40.0, 22.0), ("A quarter turn further", 130.0, 22.0))
SIDES_TRIED = [
    (azimuth, elevation)
    for elevation in (25.0, 35.0, 45.0)
    for azimuth in (40.0, -40.0, 20.0, -20.0, 60.0, -60.0)
]
_STYLE = """
svg.scene, svg.xray { display: block; width: 100%; height: auto; max-height: 88vh; background: #000; border-radius: 6px; }
svg text { paint-order: stroke; stroke: #000; stroke-width: .18em; stroke-linejoin: round; }
.finding { border-left: 3px solid #f0c244; padding-left: 10px; }
"""


@dataclass(frozen=True, eq=False)
class Scene:
    """The geometry of a case to draw.

    Parameters
    ----------
    views
        The case's.
    detector_mm
        How far from its source each view's detector is drawn.
    corners
        (8, 3) of the CT's box, world mm, corner n at the high end of axis i where bit 2^i of n is
        set.
    world_from_ct
        (4, 4).
    anatomy
        Whose bones are drawn in the box; None for an empty one.
    patient_axes
        Whether the CT's axes are the patient's; those of a relative CT need not be.
    """

    views: list[View]
    detector_mm: list[float]
    corners: np.ndarray
    world_from_ct: np.ndarray
    anatomy: PreparedCT | None = None
    patient_axes: bool = True

    @cached_property
    def beams(self) -> np.ndarray:
        """(views, 2, 5, 3) world mm: the beam of each view, see `drawing.beam`."""
        return np.stack(
            [beam(view.camera, mm) for view, mm in zip(self.views, self.detector_mm, strict=True)]
        )

    @property
    def middle(self) -> np.ndarray:
        """(3,) of the corners."""
        return self.corners.mean(0)


def case_page(
    name: str,
    scene: Scene,
    lines: Sequence[str],
    findings: Sequence[str],
    notes: Sequence[str] = (),
) -> str:
    """case.html as text.

    Parameters
    ----------
    lines
        What the geometry means.
    findings
        What is suspicious.
    notes
        On how it is drawn.
    """
    nothing = "Nothing looks wrong. Check the pictures all the same."
    suspicious = [tag("p", finding, class_="finding") for finding in findings] or [
        tag("p", nothing)
    ]
    sides = [_figure(title, scene_svg(scene, *angles)) for title, *angles in SIDES]
    images = [
        _figure(view.name, xray_svg(scene, nth), COLOURS[nth % len(COLOURS)])
        for nth, view in enumerate(scene.views)
    ]
    introduction = (
        "Lengths are in mm, angles in degrees, coordinates in LPS. Yellow: the box of the CT. R "
        "and L, A and P, S and I: the patient's right and left, front and back, head and feet, as "
        "the CT has them."
    )
    sections = {
        "Suspicious": suspicious,
        "The scene": [
            tag("div", *sides, class_="views"),
            *(tag("p", note, class_="quiet") for note in notes),
        ],
        "The images": [tag("div", *images, class_="views")],
        "In words": [tag("p", line) for line in lines],
    }
    parts = [
        tag("section", tag("h2", title), *content, class_="case")
        for title, content in sections.items()
    ]
    return page(f"{name}: geometry", [introduction], parts, _STYLE)


def _figure(title: str, svg: ET.Element, colour: str | None = None) -> ET.Element:
    return tag("figure", tag("figcaption", title, style=colour and f"color: {colour}"), svg)


class Labels:
    """Texts of a drawing that keep off each other.

    Each takes the nearest free place to where it belongs.

    Parameters
    ----------
    em
        Height of a line.
    low, high
        (2,) corners of the drawing.
    """

    def __init__(self, em: float, low: np.ndarray, high: np.ndarray) -> None:
        self.em = em
        self._low = low
        self._high = high
        self._taken: list[np.ndarray] = []
        self.texts: list[ET.Element] = []

    def add(self, text: str, at: np.ndarray, colour: str, **style: str) -> None:
        """Write a text with its middle at (2,), or as near to there as there is room."""
        half = 0.5 * self.em * np.array([GLYPH * len(text), 1.0])
        steps = self.em * np.array(
            [(x, y) for x in np.arange(-8, 8.5, 0.5) for y in np.arange(-8, 8.5, 0.5)]
        )
        inside = np.clip(at + steps, self._low + half, self._high - half)
        for middle in inside[np.argsort(np.linalg.norm(inside - at, axis=1), kind="stable")]:
            box = np.stack([middle - half, middle + half])
            if not any(
                (box[0] < other[1]).all() and (other[0] < box[1]).all() for other in self._taken
            ):
                break
        else:
            return  # a drawing full of texts tells nobody more
        self._taken.append(box)
        x, y = middle + [0, 0.35 * self.em]
        self.texts.append(tag("text", text, x=x, y=y, fill=colour, text_anchor="middle", **style))


def scene_svg(
    scene: Scene, azimuth_deg: float, elevation_deg: float, *, lines: float = 38, axes: bool = True
) -> ET.Element:
    """Return the scene from a side: azimuth 0 looks along the first view's beam, 90 across it.

    Elevation is towards the patient's head.

    Parameters
    ----------
    lines
        The drawing's longer side in lines of its texts.
    axes
        Draw the world's axes, too, and name sources and detectors; else a view has one name.
    """
    basis = _basis(scene, azimuth_deg, elevation_deg)
    flat = _outline(scene) @ basis[:2].T
    low = flat.min(0)
    high = flat.max(0)
    extent = float((high - low).max())
    origin_shown = bool(
        (basis[:2] @ np.zeros(3) > low).all() and (basis[:2] @ np.zeros(3) < high).all()
    )
    margin = 0.12 if axes else 0.05
    low = low - margin * extent
    high = high + margin * extent
    em = extent / lines
    box = f"{low[0]:.1f} {low[1]:.1f} {high[0] - low[0]:.1f} {high[1] - low[1]:.1f}"
    labels = Labels(em, low, high)
    svg = tag(
        "svg",
        tag("title", "The scene in 3D"),
        viewBox=box,
        role="img",
        class_="scene",
        font_size=em,
    )
    for nth in sorted(
        range(len(scene.views)), key=lambda nth: -float(basis[2] @ scene.beams[nth, 1, 4])
    ):
        svg.extend(_frustum(scene, nth, basis, labels, both=axes))
    if scene.anatomy is not None:
        svg.append(_bones(scene, scene.anatomy, basis))
    svg.extend(
        polyline(scene.corners[edge] @ basis[:2].T, stroke=BOX, stroke_width=em / 9)
        for edge in EDGES
    )
    reach = max(0.3 * float(np.linalg.norm(scene.corners[7] - scene.corners[0])), 4 * em)
    svg.extend(_patient_axes(lambda point: basis[:2] @ point, scene, reach, labels))
    if axes:
        corner = basis[:2].T @ (
            np.array([low[0], high[1]]) + [3 * em, -3 * em] + [AXIS_MM / 2, -AXIS_MM / 2]
        )
        svg.extend(
            _world_axes(basis, np.zeros(3) if origin_shown else corner, labels, origin_shown)
        )
    svg.extend(labels.texts)
    return svg


def best_side(scene: Scene, aspect: float) -> tuple[float, float]:
    """Return the azimuth and elevation, degrees, of SIDES_TRIED from which the scene is seen best.

    The fewest detectors stand before the CT from there, and the scene is largest in a drawing of
    this width over height.
    """

    def badness(angles: tuple[float, float]) -> tuple[int, float]:
        basis = _basis(scene, *angles)
        across, down = np.ptp(_outline(scene) @ basis[:2].T, axis=0)
        away = (scene.beams[:, 1, 4] - scene.middle) @ basis[2]
        return int((away < 0).sum()), max(across / aspect, down)

    return min(SIDES_TRIED, key=badness)


def _outline(scene: Scene) -> np.ndarray:
    """(N, 3): corners of all that is drawn, world mm."""
    return np.concatenate([scene.corners, scene.beams.reshape(-1, 3)])


def xray_svg(scene: Scene, nth: int) -> ET.Element:
    """Return a view's image with the outline of the CT's box and the patient's directions from its middle, with room around."""
    view = scene.views[nth]
    camera = view.camera
    (columns, rows) = view.camera.size
    margin = 0.12 * max(columns, rows)
    em = max(columns, rows) / 28
    box = f"{-margin:.1f} {-margin:.1f} {columns + 2 * margin:.1f} {rows + 2 * margin:.1f}"
    title = tag("title", f"{view.name} with the CT's box")
    svg = tag("svg", title, viewBox=box, role="img", class_="xray", font_size=em)
    svg.append(_picture(view, 900, None))
    svg.append(outline(camera.corners, stroke=COLOURS[nth % len(COLOURS)], stroke_width=em / 8))
    for edge in EDGES:
        cut = _before_source(camera, *scene.corners[edge])
        if cut is not None:
            svg.append(polyline(camera.project(cut), stroke=BOX, stroke_width=em / 9))
    if camera.depth(scene.middle) > NEAREST:
        reach = 0.28 * min(columns, rows) * float(camera.pixel_mm(scene.middle)[0])
        labels = Labels(em, np.full(2, -margin), np.array([columns, rows]) + margin)
        svg.extend(_patient_axes(camera.project, scene, reach, labels))
        svg.extend(labels.texts)
    return svg


def _basis(scene: Scene, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """(3, 3), rows: to the right of the picture, down, and away from the viewer, in the world."""
    rays = [
        view.camera.ray_directions((np.array(view.camera.size) - 1) / 2) for view in scene.views
    ]
    head = scene.world_from_ct[:3, 2]
    across = max(
        (np.cross(rays[0], ray) for ray in rays), key=np.linalg.norm
    )  # square to the plane of the beams
    up = across if np.linalg.norm(across) > 0.2 else head
    up = up - up @ rays[0] * rays[0]
    if np.linalg.norm(up) < 0.05:
        up = np.cross(rays[0], np.eye(3)[np.argmin(np.abs(rays[0]))])
    up = up / np.linalg.norm(up) * (1 if up @ head >= 0 else -1)
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    away = (
        np.cos(elevation) * (np.cos(azimuth) * rays[0] + np.sin(azimuth) * np.cross(up, rays[0]))
        - np.sin(elevation) * up
    )
    right = np.cross(away, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(away, right), away])


def _frustum(
    scene: Scene, nth: int, basis: np.ndarray, labels: Labels, *, both: bool
) -> list[ET.Element]:
    """Return the detector with its image, the beam, the source (of a slot scan, its way), and their names."""
    view = scene.views[nth]
    colour = COLOURS[nth % len(COLOURS)]
    em = labels.em
    camera = view.camera
    flat = basis[:2]
    on_detector = flat @ camera.plane_at(scene.detector_mm[nth])
    (*sources, source), (*detector, centre) = scene.beams[nth] @ flat.T
    parts = [_picture(view, 240, on_detector)]
    parts.append(outline(detector, stroke=colour, stroke_width=em / 8))
    parts += [
        polyline(ray, stroke=colour, stroke_width=em / 16)
        for ray in zip(sources, detector, strict=True)
    ]
    if camera.source_step.any():
        parts.append(polyline([sources[0], sources[2]], stroke=colour, stroke_width=em / 8))
    parts.append(
        polyline([source, centre], stroke=colour, stroke_width=em / 12, stroke_dasharray=em)
    )
    parts.append(tag("circle", cx=source[0], cy=source[1], r=em / 2.2, fill=colour))
    labels.add(f"{view.name} source" if both else view.name, source - [0, 1.2 * em], colour)
    if both:
        labels.add(
            f"{view.name} detector", max(detector, key=lambda corner: corner[1]) + [0, em], colour
        )
    return parts


def _bones(scene: Scene, anatomy: PreparedCT, basis: np.ndarray) -> ET.Element:
    """Return the bones of the CT as seen from the side of the drawing: a DRR from afar."""
    reach = 0.5 * float(np.linalg.norm(scene.corners[7] - scene.corners[0]))
    pixel_mm = 2 * reach / BONES_PIXELS
    side = BONES_PIXELS
    middle = (side - 1) / 2
    intrinsics = np.array(
        [[AFAR_MM / pixel_mm, 0, middle], [0, AFAR_MM / pixel_mm, middle], [0, 0, 1]]
    )
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = basis
    camera_from_world[:3, 3] = [0, 0, AFAR_MM] - basis @ scene.middle
    projector = anatomy.projector(anatomy.level(2 * pixel_mm), bones=True)
    drr = projector.render(
        Camera(intrinsics, camera_from_world, (side, side)), scene.world_from_ct
    ).image
    strength = np.sqrt(
        np.clip(
            drr / max(float(np.percentile(drr[drr > 0], 98)) if (drr > 0).any() else 1.0, 1e-6),
            0,
            1,
        )
    )
    rgba = np.empty((side, side, 4), np.uint8)
    rgba[..., :3] = BONE
    rgba[..., 3] = np.rint(255 * strength)
    x, y = basis[:2] @ scene.middle - reach
    return tag("image", x=x, y=y, width=2 * reach, height=2 * reach, href=embedded(png(rgba)))


def _patient_axes(place, scene: Scene, reach: float, labels: Labels) -> list[ET.Element]:
    """Lines along the CT's axes through the middle of its box, with the letters of the patient's directions at their ends."""
    parts: list[ET.Element] = []
    em = labels.em
    for axis, (letter, colour) in enumerate(PATIENT.items() if scene.patient_axes else ()):
        step = reach * scene.world_from_ct[:3, axis]
        ends = {letter: place(scene.middle + step), OPPOSITE[letter]: place(scene.middle - step)}
        along = ends[letter] - ends[OPPOSITE[letter]]
        length = float(np.linalg.norm(along))
        parts.append(polyline(ends.values(), stroke=colour, stroke_width=em / 7))
        if length < 3 * em:  # along the line of sight: letters would lie on each other
            continue
        for name, end in ends.items():
            out = along / length * (1 if name == letter else -1)
            labels.add(name, end + 0.8 * em * out, colour, font_weight="700")
    return parts


def _world_axes(
    basis: np.ndarray, at: np.ndarray, labels: Labels, origin_shown: bool
) -> list[ET.Element]:
    start = basis[:2] @ at
    em = labels.em
    parts = []
    for name, axis in zip("xyz", np.eye(3)):
        end = basis[:2] @ (at + AXIS_MM * axis)
        parts.append(polyline([start, end], stroke="#ffffff", stroke_width=em / 8))
        out = end - start
        labels.add(name, end + 0.7 * em * out / max(np.linalg.norm(out), em), "#ffffff")
    label = (
        f"world, {AXIS_MM:.0f} mm"
        if origin_shown
        else f"world's axes, {AXIS_MM:.0f} mm (its origin is outside the picture)"
    )
    labels.add(label, start + [0, 1.4 * em], "#ffffff")
    return parts


def _before_source(camera, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(2, 3): the part of a line that lies before the source; None for one behind it."""
    depths = camera.depth(np.stack([a, b]))
    if (depths < NEAREST).all():
        return None
    if (depths < NEAREST).any():
        cut = a + (b - a) * (NEAREST - depths[0]) / (depths[1] - depths[0])
        a, b = (cut, b) if depths[0] < NEAREST else (a, cut)
    return np.stack([a, b])


def _picture(view: View, longest: int, affine: np.ndarray | None) -> ET.Element:
    """Return the X-ray, bone bright, on its pixels.

    With `affine` (2, 3) carried from pixels to where it says.
    """
    values = view.xray.line_integrals
    valid = view.xray.valid
    low, high = np.percentile(values[valid], (0.5, 99.5))
    grey = 235 * np.clip((values - low) / max(high - low, 1e-6), 0, 1) * np.where(valid, 1, 0.2)
    image = Image.fromarray(grey.astype(np.uint8))
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    columns, rows = view.camera.size
    matrix = (
        None
        if affine is None
        else "matrix(" + " ".join(f"{number:.6g}" for number in affine.T.ravel()) + ")"
    )
    return tag(
        "image",
        x=-0.5,
        y=-0.5,
        width=columns,
        height=rows,
        preserveAspectRatio="none",
        transform=matrix,
        href=embedded(png(np.asarray(image))),
    )
