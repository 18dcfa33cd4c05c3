"""case.html: a case's geometry drawn as SVG, to check it before it is used.

The scene in 3D from a side, and each X-ray with the CT's box and the patient's directions in it.

The scene is an orthographic projection, in which a flat image is mapped by an affine matrix: the X-rays on the detectors are exact.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..imaging.xray import View
from ..io.html import embedded_png, page, tag

COLOURS = ("#56b4e9", "#cc79a7", "#2bbd8e", "#e8703a", "#b9a7ff")
"""Of the views: distinguishable with any colour vision, and named beside what they colour."""
BOX = "#f0c244"
PATIENT = {"L": "#ff8a80", "P": "#8fd694", "S": "#9ab8ff"}
OPPOSITE = {"L": "R", "P": "A", "S": "I"}
AXIS_MM = 100.0
EDGES = [(n, n | bit) for bit in (1, 2, 4) for n in range(8) if not n & bit]
NEAREST = 1.0  # mm before the source: lines are cut there


SIDES = (("From one side", 40.0, 22.0), ("A quarter turn further", 130.0, 22.0))
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
        (8, 3) of the CT's box, world mm, corner n at the high end of axis i where bit 2^i of n is set.
    world_from_ct
        (4, 4).
    """

    views: list[View]
    detector_mm: list[float]
    corners: np.ndarray
    world_from_ct: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        return self.corners.mean(0)


def case_page(name: str, scene: Scene, lines: Sequence[str], findings: Sequence[str], notes: Sequence[str] = ()) -> str:
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
    suspicious = [tag("p", finding, class_="finding") for finding in findings] or [tag("p", nothing)]
    sides = [_figure(title, scene_svg(scene, *angles)) for title, *angles in SIDES]
    images = [
        _figure(view.name, xray_svg(scene, nth), COLOURS[nth % len(COLOURS)]) for nth, view in enumerate(scene.views)
    ]
    introduction = (
        "Lengths are in mm, angles in degrees, coordinates in LPS. Yellow: the box of the CT. R and L, A and P, S and I: the "
        "patient's right and left, front and back, head and feet, as the CT has them."
    )
    sections = {
        "Suspicious": suspicious,
        "The scene": [tag("div", *sides, class_="views"), *(tag("p", note, class_="quiet") for note in notes)],
        "The images": [tag("div", *images, class_="views")],
        "In words": [tag("p", line) for line in lines],
    }
    parts = [tag("section", tag("h2", title), *content, class_="case") for title, content in sections.items()]
    return page(f"{name}: geometry", [introduction], parts, _STYLE)


def _figure(title: str, svg: ET.Element, colour: str | None = None) -> ET.Element:
    return tag("figure", tag("figcaption", title, style=colour and f"color: {colour}"), svg)


def scene_svg(scene: Scene, azimuth_deg: float, elevation_deg: float) -> ET.Element:
    """The scene from a side: azimuth 0 looks along the first view's beam, 90 across it; elevation is towards the patient's head."""
    basis = _basis(scene, azimuth_deg, elevation_deg)
    shown = [scene.corners, *(view.camera.sources(view.camera.corners) for view in scene.views)]
    shown += [_detector(scene, nth) for nth in range(len(scene.views))]
    flat = np.concatenate(shown) @ basis[:2].T
    low, high = flat.min(0), flat.max(0)
    extent = float((high - low).max())
    origin_shown = bool((basis[:2] @ np.zeros(3) > low).all() and (basis[:2] @ np.zeros(3) < high).all())
    low, high, em = low - 0.12 * extent, high + 0.12 * extent, extent / 38
    box = f"{low[0]:.1f} {low[1]:.1f} {high[0] - low[0]:.1f} {high[1] - low[1]:.1f}"
    svg = tag("svg", tag("title", "The scene in 3D"), viewBox=box, role="img", class_="scene", font_size=em)
    for nth in sorted(range(len(scene.views)), key=lambda nth: -float(basis[2] @ _detector(scene, nth).mean(0))):
        svg.extend(_frustum(scene, nth, basis, em))
    svg.extend(_line(basis[:2] @ scene.corners[a], basis[:2] @ scene.corners[b], BOX, em / 9) for a, b in EDGES)
    reach = max(0.3 * float(np.linalg.norm(scene.corners[7] - scene.corners[0])), 4 * em)
    svg.extend(_patient_axes(lambda point: basis[:2] @ point, scene, reach, em))
    corner = basis[:2].T @ (np.array([low[0], high[1]]) + [3 * em, -3 * em] + [AXIS_MM / 2, -AXIS_MM / 2])
    svg.extend(_world_axes(basis, np.zeros(3) if origin_shown else corner, em, origin_shown))
    return svg


def xray_svg(scene: Scene, nth: int) -> ET.Element:
    """A view's image with the outline of the CT's box and the patient's directions from its middle, with room around."""
    view = scene.views[nth]
    camera, (columns, rows) = view.camera, view.camera.size
    margin = 0.12 * max(columns, rows)
    em = max(columns, rows) / 28
    box = f"{-margin:.1f} {-margin:.1f} {columns + 2 * margin:.1f} {rows + 2 * margin:.1f}"
    svg = tag(
        "svg",
        tag("title", f"{view.name} with the CT's box"),
        viewBox=box,
        role="img",
        class_="xray",
        font_size=em,
    )
    svg.append(_picture(view, 900, None))
    svg.append(
        tag(
            "rect",
            x=-0.5,
            y=-0.5,
            width=columns,
            height=rows,
            fill="none",
            stroke=COLOURS[nth % len(COLOURS)],
            stroke_width=em / 8,
        )
    )
    for a, b in EDGES:
        cut = _before_source(camera, scene.corners[a], scene.corners[b])
        if cut is not None:
            start, end = camera.project(cut)
            svg.append(_line(start, end, BOX, em / 9))
    if camera.depth(scene.middle) > NEAREST:
        reach = 0.28 * min(columns, rows) * float(camera.pixel_mm(scene.middle)[0])
        svg.extend(_patient_axes(camera.project, scene, reach, em))
    return svg


def _basis(scene: Scene, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """(3, 3), rows: to the right of the picture, down, and away from the viewer, in the world."""
    rays = [view.camera.ray_directions((np.array(view.camera.size) - 1) / 2) for view in scene.views]
    head = scene.world_from_ct[:3, 2]
    across = max((np.cross(rays[0], ray) for ray in rays), key=np.linalg.norm)  # square to the plane of the beams
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


def _detector(scene: Scene, nth: int) -> np.ndarray:
    """(4, 3): the outer corners of a view's image on its detector, world mm."""
    camera = scene.views[nth].camera
    return camera.at_depth(camera.corners, scene.detector_mm[nth])


def _frustum(scene: Scene, nth: int, basis: np.ndarray, em: float) -> list[ET.Element]:
    """The detector with its image, the beam, the source (of a slot scan, its way), and their names."""
    view, colour = scene.views[nth], COLOURS[nth % len(COLOURS)]
    camera, flat = view.camera, basis[:2]
    on_detector = flat @ camera.plane_at(scene.detector_mm[nth])
    detector, sources = _detector(scene, nth) @ flat.T, camera.sources(camera.corners) @ flat.T
    source, centre = flat @ camera.source, flat @ _detector(scene, nth).mean(0)
    parts = [_picture(view, 240, on_detector)]
    parts += [_line(detector[n - 1], detector[n], colour, em / 8) for n in range(4)]
    parts += [_line(start, corner, colour, em / 16) for start, corner in zip(sources, detector, strict=True)]
    if camera.source_step.any():
        parts.append(_line(sources[0], sources[2], colour, em / 8))
    parts.append(_line(source, centre, colour, em / 12, dash=em))
    parts.append(tag("circle", cx=source[0], cy=source[1], r=em / 2.2, fill=colour))
    at_right = source[0] > (flat @ scene.middle)[0]  # there the picture ends
    anchor, aside = ("end", 0) if at_right else (None, 0.8 * em)
    parts.append(_text(f"{view.name} source", source + [aside, -0.9 * em], colour, anchor))
    lowest = detector[np.argmax(detector[:, 1])]
    parts.append(_text(f"{view.name} detector", lowest + [0, 1.3 * em], colour))
    return parts


def _patient_axes(place, scene: Scene, reach: float, em: float) -> list[ET.Element]:
    """Lines along the CT's axes through the middle of its box, with the letters of the patient's directions at their ends."""
    parts = []
    for axis, (letter, colour) in enumerate(PATIENT.items()):
        step = reach * scene.world_from_ct[:3, axis]
        ends = {letter: place(scene.middle + step), OPPOSITE[letter]: place(scene.middle - step)}
        along = ends[letter] - ends[OPPOSITE[letter]]
        length = float(np.linalg.norm(along))
        parts.append(_line(ends[letter], ends[OPPOSITE[letter]], colour, em / 7))
        if length < 3 * em:  # along the line of sight: letters would lie on each other
            continue
        for name, end in ends.items():
            out = along / length * (1 if name == letter else -1)
            parts.append(_text(name, end + 0.8 * em * out + [0, 0.35 * em], colour, font_weight="700"))
    return parts


def _world_axes(basis: np.ndarray, at: np.ndarray, em: float, origin_shown: bool) -> list[ET.Element]:
    start = basis[:2] @ at
    parts = []
    for name, axis in zip("xyz", np.eye(3)):
        end = basis[:2] @ (at + AXIS_MM * axis)
        parts.append(_line(start, end, "#ffffff", em / 8))
        out = end - start
        parts.append(_text(name, end + 0.7 * em * out / max(np.linalg.norm(out), em) + [0, 0.35 * em], "#ffffff"))
    label = (
        f"world, {AXIS_MM:.0f} mm"
        if origin_shown
        else f"world's axes, {AXIS_MM:.0f} mm (its origin is outside the picture)"
    )
    parts.append(_text(label, start + [0, 1.7 * em], "#ffffff", "middle" if origin_shown else None))
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
    """The X-ray, bone bright, on its pixels; with `affine` (2, 3) carried from pixels to where it says."""
    values, valid = view.xray.line_integrals, view.xray.valid
    low, high = np.percentile(values[valid], (0.5, 99.5))
    grey = 235 * np.clip((values - low) / max(high - low, 1e-6), 0, 1) * np.where(valid, 1, 0.2)
    image = Image.fromarray(grey.astype(np.uint8))
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    file = io.BytesIO()
    image.save(file, "PNG")
    columns, rows = view.camera.size
    matrix = None if affine is None else "matrix(" + " ".join(f"{number:.6g}" for number in affine.T.ravel()) + ")"
    return tag(
        "image",
        x=-0.5,
        y=-0.5,
        width=columns,
        height=rows,
        preserveAspectRatio="none",
        transform=matrix,
        href=embedded_png(file.getvalue()),
    )


def _line(a: np.ndarray, b: np.ndarray, colour: str, width: float, dash: float | None = None) -> ET.Element:
    ends = {"x1": a[0], "y1": a[1], "x2": b[0], "y2": b[1]}
    return tag("line", **ends, stroke=colour, stroke_width=width, stroke_dasharray=dash)


def _text(text: str, at: np.ndarray, colour: str, anchor: str | None = "middle", **style: str) -> ET.Element:
    return tag("text", text, x=at[0], y=at[1], fill=colour, text_anchor=anchor, **style)
