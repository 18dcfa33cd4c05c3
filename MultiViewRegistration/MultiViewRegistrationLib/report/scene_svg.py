"""X-rays, their beams and the patient as SVG: in a report, in case.html, and beside the table of geometry.

Looks are orthographic, so that a flat image is mapped by an affine matrix: X-rays on their detectors
are exact. All of it is SVG Tiny, which Qt draws as a browser does.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.machines import angle, angles, image_sides
from ..imaging.xray import View
from .html import beam, embedded, outline, page, png, polyline, section, tag

if TYPE_CHECKING:
    from ..registration.prepared_ct import PreparedCT

COLOURS = ("#56b4e9", "#cc79a7", "#2bbd8e", "#e8703a", "#b9a7ff")
"""Colours of the views: distinguishable with any colour vision, and named beside what they colour.
"""
BOX = "#f0c244"
PATIENT = {"L": "#ff8a80", "P": "#8fd694", "H": "#9ab8ff"}
OPPOSITE = {"L": "R", "P": "A", "H": "F"}
EDGES = [[n, n | bit] for bit in (1, 2, 4) for n in range(8) if not n & bit]
#: Colour of the bones, pixels of their picture, and from how far they are seen, which makes
#: the beams parallel.
BONE = (236, 226, 205)
BONES_PIXELS = 400
AFAR_MM = 50_000.0
#: Width of a character in lines, on average.
GLYPH = 0.65
NEAREST = 1.0  # mm before the source: lines are cut there
#: Pixels of an X-ray's longer side.
PICTURE_PX = 600
#: The width and height of an image in lines of the letters about it.
IMAGE_LINES = 18
AZIMUTHS_TRIED = (40.0, -40.0, 20.0, -20.0, 60.0, -60.0)
SIDES_TRIED = [(turn, up) for up, turn in product((25.0, 35.0, 45.0), AZIMUTHS_TRIED)]
#: Looks from the feet and from the right: to the right of the picture, down, and away, in the
#: patient's axes (LPS).
FROM_FEET = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
FROM_RIGHT = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
#: A patient about the isocentre, of whom nothing is known: trunk, head and nose by their middles and
#: half sizes, the table, and the half size of all, mm.
BODY_MM = (
    ((0, 0, -60), (190, 115, 340)),
    ((0, 5, 370), (78, 98, 100)),
    ((0, -95, 375), (16, 22, 26)),
)
TABLE_MM = ((0, 127, 0), (260, 12, 480))
ROOM_MM = (260.0, 150.0, 480.0)
SKIN = "#b98d74"
TABLE = "#56636e"
#: Pixels of one drawing beside the table of geometry, between two, and of the words above and below.
SIDE_PX = 204
GAP_PX = 8
WORDS_PX = 21
#: Lines of letters in one of them.
LINES = 17
#: Grounds of all and of each drawing, as words are light, and their colours.
FRAME = "#161d24"
GROUND = "#0b0f13"
QUIET = "#9fb4c6"
TEXT = "#d9e0e6"
_STYLE = """
svg.scene, svg.xray { display: block; width: 100%; height: auto; max-height: 88vh; background: #000; border-radius: 6px; }
svg text { paint-order: stroke; stroke: #000; stroke-width: .18em; stroke-linejoin: round; }
.finding { border-left: 3px solid #f0c244; padding-left: 10px; }
"""


@dataclass(frozen=True, eq=False)
class DrawnView:
    """An X-ray in a drawing.

    Attributes
    ----------
    name
        That is written at its source; "" for none.
    camera
        World LPS mm.
    detector_mm
        From the source to where it is drawn.
    picture
        uint8 (rows, columns) or (rows, columns, 3), smaller than the image or as large; None for a
        frame without one.
    aspect
        Height of the image's pixels over their width.
    certain
        False while numbers are missing: lines are dashed then.
    """

    name: str
    camera: Camera
    detector_mm: float
    picture: np.ndarray | None
    aspect: float = 1.0
    certain: bool = True

    @classmethod
    def of(cls, view: View, detector_mm: float) -> DrawnView:
        """Return a case's X-ray, bone bright."""
        valid = view.xray.valid
        values = view.xray.line_integrals
        low, high = np.percentile(values[valid], (0.5, 99.5))
        grey = np.interp(values, (low, high), (0, 1)) * np.where(valid, 235, 47)
        from PIL import Image  # the panel, which draws no X-rays here, opens without it

        image = Image.fromarray(grey.astype(np.uint8))
        image.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.BOX)
        return cls(view.name, view.camera, detector_mm, np.asarray(image))

    @cached_property
    def beam(self) -> np.ndarray:
        """(2, 5, 3) world mm, see `html.beam`."""
        return beam(self.camera, self.detector_mm)


@dataclass(frozen=True, eq=False)
class Scene:
    """X-rays about a patient.

    Parameters
    ----------
    views
        Of one case.
    corners
        (8, 3) of the CT's box, world mm, of which two that differ in one bit of their number share
        an edge; None for a patient on his table about the world's origin.
    world_from_ct
        (4, 4).
    anatomy
        Whose bones are drawn in the box; None for an empty one.
    patient_axes
        Whether the CT's axes are the patient's; those of a relative CT need not be.
    """

    views: Sequence[DrawnView]
    corners: np.ndarray | None
    world_from_ct: np.ndarray
    anatomy: PreparedCT | None = None
    patient_axes: bool = True

    @cached_property
    def box(self) -> np.ndarray:
        """(8, 3) about the patient, world mm."""
        if self.corners is not None:
            return self.corners
        return np.array(ROOM_MM) * (2 * np.indices((2, 2, 2)).reshape(3, -1).T - 1)

    @property
    def middle(self) -> np.ndarray:
        """(3,) of the box."""
        return self.box.mean(0)

    @cached_property
    def reach(self) -> float:
        """The mm from the middle of the box to a corner."""
        return 0.5 * float(np.linalg.norm(self.box[7] - self.box[0]))

    @property
    def outline(self) -> np.ndarray:
        """(n, 3) corners of all that is drawn, world mm."""
        return np.concatenate([self.box, *(view.beam.reshape(-1, 3) for view in self.views)])


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
    suspicious = [tag("p", finding, class_="finding") for finding in findings]
    azimuth, elevation = best_side(scene, 1.0)
    sides = {"From one side": azimuth, "A quarter turn further": azimuth + 90}
    looks = []
    for side, turned in sides.items():
        drawn = scene_svg(scene, look_from(scene, turned, elevation))
        looks.append(tag("figure", tag("figcaption", side), drawn))
    images = []
    for nth, view in enumerate(scene.views):
        caption = tag("figcaption", view.name, style=f"color: {COLOURS[nth % len(COLOURS)]}")
        images.append(tag("figure", caption, xray_svg(scene, nth)))
    introduction = (
        "Lengths are in mm, angles in degrees, coordinates in LPS. Yellow: the box of the CT. R "
        "and L, A and P, H and F: the patient's right and left, front and back, head and feet, as "
        "the CT has them."
    )
    sections = {
        "Suspicious": suspicious or [tag("p", nothing)],
        "The scene": [
            tag("div", *looks, class_="views"),
            *(tag("p", note, class_="quiet") for note in notes),
        ],
        "The images": [tag("div", *images, class_="views")],
        "In words": [tag("p", line) for line in lines],
    }
    parts = [section(title, *content) for title, content in sections.items()]
    return page(f"{name}: geometry", [introduction], parts, _STYLE)


def machine_svg(view: DrawnView, left_known: bool) -> str:
    """Return a C-arm about its patient from the feet and from the right, and the image with his sides, as text.

    Parameters
    ----------
    view
        Its world has its origin at the isocentre, and the patient's axes.
    left_known
        Whether it is known which side of the patient is on the left of the image.
    """
    from ..translation import _  # which loads Slicer's classes where they are

    scene = Scene([view], None, np.eye(4))
    said = ["", ""]
    if not view.camera.is_slot_scan:
        primary, secondary, _roll = angles(view.camera.camera_from_world[:3, :3].T)
        said = [angle(primary, "LAO", "RAO"), angle(secondary, "CRA", "CAU")]
    unsure = "" if view.certain else " ?"
    looks = [scene_svg(scene, basis, LINES) for basis in (FROM_FEET, FROM_RIGHT)]
    panels = [
        (looks[0], _("From the feet"), said[0] + unsure, _("\u25cf source   \u25ae detector")),
        (looks[1], _("From the right"), said[1] + unsure, _("H: head, F: feet, A: front")),
        (
            xray_svg(scene, 0, left_known),
            _("The X-ray and its sides"),
            "",
            _("Compare with the image's marker."),
        ),
    ]
    width = 3 * SIDE_PX + 2 * GAP_PX
    height = SIDE_PX + 2 * WORDS_PX
    root = tag(
        "svg",
        tag("rect", width=width, height=height, fill=FRAME),
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        font_family="Roboto, sans-serif",
        font_size=13,
        xmlns="http://www.w3.org/2000/svg",
        **{"xmlns:xlink": "http://www.w3.org/1999/xlink"},
    )
    for number, (drawing, title, angle_said, note) in enumerate(panels):
        left = number * (SIDE_PX + GAP_PX)
        ground = {"width": SIDE_PX, "height": SIDE_PX, "fill": GROUND}
        root.append(tag("rect", x=left, y=WORDS_PX, **ground))
        root.append(tag("text", title, x=left + 4, y=15, fill=TEXT))
        root.append(tag("text", angle_said, x=left + SIDE_PX, y=15, fill=BOX, text_anchor="end"))
        root.append(tag("text", note, x=left + 4, y=height - 6, fill=QUIET, font_size=11))
        root.append(tag("g", *drawing[1:], **_fitted(drawing, left, WORDS_PX)))
    return ET.tostring(root, encoding="unicode")


def _fitted(drawing: ET.Element, left: float, top: float) -> dict[str, str | None]:
    """Return what puts a drawing, whose first child is its title, into a square of SIDE_PX."""
    x, y, width, height = map(float, drawing.attrib["viewBox"].split())
    scale = SIDE_PX / max(width, height)
    left += (SIDE_PX - scale * width) / 2 - scale * x
    top += (SIDE_PX - scale * height) / 2 - scale * y
    place = f"translate({left:.2f} {top:.2f}) scale({scale:.5f})"
    return {"transform": place, "font_size": drawing.get("font-size")}


@dataclass(eq=False)
class Labels:
    """Texts of a drawing, above all else of it, and within it.

    Parameters
    ----------
    em
        Height of a line.
    low, high
        (2,) corners of the drawing.
    """

    em: float
    _low: np.ndarray
    _high: np.ndarray
    texts: list[ET.Element] = field(default_factory=list)

    def add(self, text: str, at: np.ndarray, colour: str, **style: str) -> None:
        """Write a text with its middle at (2,), or as near to there as the drawing reaches."""
        half = 0.5 * self.em * np.array([GLYPH * len(text), 1.0])
        x, y = np.clip(at, self._low + half, self._high - half) + [0, 0.35 * self.em]
        self.texts.append(tag("text", text, x=x, y=y, fill=colour, text_anchor="middle", **style))


def scene_svg(scene: Scene, basis: np.ndarray, lines: float = 38) -> ET.Element:
    """Return a look at the scene.

    Parameters
    ----------
    basis
        (3, 3), rows: to the right of the picture, down, and away from the viewer, in the world.
    lines
        The drawing's longer side in lines of its texts.
    """
    flat = scene.outline @ basis[:2].T
    extent = float(np.ptp(flat, axis=0).max())
    low = flat.min(0) - 0.06 * extent
    high = flat.max(0) + 0.06 * extent
    em = extent / lines
    box = f"{low[0]:.1f} {low[1]:.1f} {high[0] - low[0]:.1f} {high[1] - low[1]:.1f}"
    labels = Labels(em, low, high)
    title = tag("title", "The scene in 3D")
    svg = tag("svg", title, viewBox=box, role="img", class_="scene", font_size=em)
    far_first = sorted(
        enumerate(scene.views), key=lambda each: -float(basis[2] @ each[1].beam[1, 4])
    )
    if scene.corners is None:
        svg.extend(_patient(basis))
    for nth, view in far_first:
        svg.extend(_frustum(view, COLOURS[nth % len(COLOURS)], basis, labels))
    if scene.anatomy is not None:
        svg.append(_bones(scene, scene.anatomy, basis))
    if scene.corners is not None:
        edges = [scene.corners[edge] @ basis[:2].T for edge in EDGES]
        svg.extend(polyline(edge, stroke=BOX, stroke_width=em / 9) for edge in edges)
    svg.extend(_patient_axes(basis[:2], scene, labels))
    svg.extend(labels.texts)
    return svg


def best_side(scene: Scene, aspect: float) -> tuple[float, float]:
    """Return the azimuth and elevation, degrees, of SIDES_TRIED from which the scene is seen best.

    The fewest detectors stand before the CT from there, and the scene is largest in a drawing of
    this width over height.
    """

    def badness(side: tuple[float, float]) -> tuple[int, float]:
        basis = look_from(scene, *side)
        across, down = np.ptp(scene.outline @ basis[:2].T, axis=0)
        before = [(view.beam[1, 4] - scene.middle) @ basis[2] < 0 for view in scene.views]
        return sum(before), max(across / aspect, down)

    return min(SIDES_TRIED, key=badness)


def xray_svg(scene: Scene, nth: int, left_known: bool = True) -> ET.Element:
    """Return an X-ray with the outline of the CT's box, and the patient's sides at its edges."""
    view = scene.views[nth]
    camera = view.camera
    stretch = np.array([1.0, view.aspect])
    columns, rows = camera.size * stretch
    em = max(columns, rows) / IMAGE_LINES
    box = f"{-1.5 * em:.1f} {-1.5 * em:.1f} {columns + 3 * em:.1f} {rows + 3 * em:.1f}"
    title = tag("title", f"{view.name} with the CT's box")
    svg = tag("svg", title, viewBox=box, role="img", class_="xray", font_size=em)
    svg.extend(_picture(view, f"scale(1 {view.aspect})"))
    colour = COLOURS[nth % len(COLOURS)]
    svg.append(outline(camera.corners * stretch, stroke=colour, stroke_width=em / 8))
    for edge in EDGES if scene.corners is not None else ():
        cut = _before_source(camera, *scene.box[edge])
        if cut is not None:
            svg.append(polyline(camera.project(cut) * stretch, stroke=BOX, stroke_width=em / 9))
    sides = list(image_sides(camera, scene.world_from_ct)) if scene.patient_axes else [""] * 4
    if not left_known:
        sides[:2] = "?", "?"
    low = np.array([-0.7, 0.35]) * em
    right, down = np.array([columns, rows]) / 2
    places = [(low[0], down), (columns - low[0], down), (right, -low[1]), (right, rows + 0.9 * em)]
    style = {"text_anchor": "middle", "font_weight": "700", "fill": TEXT}
    for side, (x, y) in zip(sides, places, strict=True):
        svg.append(tag("text", side, x=x, y=y, **style))
    return svg


def look_from(scene: Scene, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Return the look (3, 3) from a side: azimuth 0 looks along the first view's beam, 90 across it.

    Elevation is towards the patient's head.
    """
    rays = [rigid.unit(view.beam[1, 4] - view.beam[0, 4]) for view in scene.views]
    head = scene.world_from_ct[:3, 2]
    # Square to the plane of the beams.
    across = max((np.cross(rays[0], ray) for ray in rays), key=np.linalg.norm)
    up = across if np.linalg.norm(across) > 0.2 else head
    up = up - up @ rays[0] * rays[0]
    if np.linalg.norm(up) < 0.05:
        up = np.cross(rays[0], np.eye(3)[np.argmin(np.abs(rays[0]))])
    up = rigid.unit(up) * (1 if up @ head >= 0 else -1)
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    level = np.cos(azimuth) * rays[0] + np.sin(azimuth) * np.cross(up, rays[0])
    away = np.cos(elevation) * level - np.sin(elevation) * up
    right = np.cross(away, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(away, right), away])


def _frustum(view: DrawnView, colour: str, basis: np.ndarray, labels: Labels) -> list[ET.Element]:
    """Return the detector with its image, the beam, the source (of a slot scan, its way), and the name."""
    em = labels.em
    flat = basis[:2]
    dash = None if view.certain else em / 2
    (*sources, source), (*detector, centre) = view.beam @ flat.T
    on_detector = flat @ view.camera.plane_at(view.detector_mm)
    numbers = " ".join(f"{number:.6g}" for number in on_detector.T.ravel())
    parts = _picture(view, f"matrix({numbers})")
    parts.append(outline(detector, stroke=colour, stroke_width=em / 5, stroke_dasharray=dash))
    rays = zip(sources, detector, strict=True)
    parts += [polyline(ray, stroke=colour, stroke_width=em / 16) for ray in rays]
    if view.camera.source_step.any():
        parts.append(polyline([sources[0], sources[2]], stroke=colour, stroke_width=em / 8))
    axis = {"stroke": colour, "stroke_width": em / 12, "stroke_dasharray": em}
    parts.append(polyline([source, centre], **axis))
    parts.append(tag("circle", cx=source[0], cy=source[1], r=em / 2.2, fill=colour))
    if view.name:
        labels.add(view.name, source - [0, 1.2 * em], colour)
    return parts


def _patient(basis: np.ndarray) -> list[ET.Element]:
    """Return a patient on his back on a table, of looks along his axes."""
    flat = np.abs(basis[:2])
    (x, y), (width, height) = (basis[:2] @ TABLE_MM[0], flat @ TABLE_MM[1])
    table = {"x": x - width, "y": y - height, "width": 2 * width, "height": 2 * height}
    parts = [tag("rect", **table, fill=TABLE)]
    for middle, half in BODY_MM:
        (x, y), (rx, ry) = (basis[:2] @ middle, flat @ half)
        skin = {"fill": SKIN, "stroke": GROUND, "stroke_width": 4}
        parts.append(tag("ellipse", cx=x, cy=y, rx=rx, ry=ry, **skin))
    return parts


def _bones(scene: Scene, anatomy: PreparedCT, basis: np.ndarray) -> ET.Element:
    """Return the bones of the CT as seen from the side of the drawing: a DRR from afar."""
    reach = scene.reach
    pixel_mm = 2 * reach / BONES_PIXELS
    focal = AFAR_MM / pixel_mm
    middle = (BONES_PIXELS - 1) / 2
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = basis
    camera_from_world[:3, 3] = [0, 0, AFAR_MM] - basis @ scene.middle
    intrinsics = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1]])
    camera = Camera(intrinsics, camera_from_world, (BONES_PIXELS, BONES_PIXELS))
    projector = anatomy.projector(anatomy.level(2 * pixel_mm), bones=True)
    drr = projector.render(camera, scene.world_from_ct).image
    brightest = float(np.percentile(drr[drr > 0], 98)) if (drr > 0).any() else 1.0
    strength = np.sqrt(np.clip(drr / max(brightest, 1e-6), 0, 1))
    rgba = np.empty((*drr.shape, 4), np.uint8)
    rgba[..., :3] = BONE
    rgba[..., 3] = np.rint(255 * strength)
    x, y = basis[:2] @ scene.middle - reach
    return _image(rgba, x=x, y=y, width=2 * reach, height=2 * reach)


def _patient_axes(flat: np.ndarray, scene: Scene, labels: Labels) -> list[ET.Element]:
    """Return lines along the CT's axes through the middle of its box, with the letters of the patient's directions at their ends."""
    parts: list[ET.Element] = []
    em = labels.em
    reach = max(0.6 * scene.reach, 4 * em)
    for axis, (letter, colour) in enumerate(PATIENT.items() if scene.patient_axes else ()):
        middle = flat @ scene.middle
        step = flat @ scene.world_from_ct[:3, axis] * reach
        ends = {letter: middle + step, OPPOSITE[letter]: middle - step}
        along = 2 * step
        length = float(np.linalg.norm(along))
        parts.append(polyline(ends.values(), stroke=colour, stroke_width=em / 7))
        if length < 3 * em:  # along the line of sight: letters would lie on each other
            continue
        for name, end in ends.items():
            out = along / length * (1 if name == letter else -1)
            labels.add(name, end + 0.8 * em * out, colour, font_weight="700")
    return parts


def _before_source(camera: Camera, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(2, 3): the part of a line that lies before the source; None for one behind it."""
    depths = camera.depth(np.stack([a, b]))
    if (depths < NEAREST).all():
        return None
    if (depths < NEAREST).any():
        cut = a + (b - a) * (NEAREST - depths[0]) / (depths[1] - depths[0])
        a, b = (cut, b) if depths[0] < NEAREST else (a, cut)
    return np.stack([a, b])


def _picture(view: DrawnView, transform: str) -> list[ET.Element]:
    """Return the X-ray on its pixels, carried to where it belongs; nothing where there is none."""
    if view.picture is None:
        return []
    columns, rows = view.camera.size
    place = {"x": -0.5, "y": -0.5, "width": columns, "height": rows}
    return [_image(view.picture, **place, preserveAspectRatio="none", transform=transform)]


def _image(picture: np.ndarray, **place: object) -> ET.Element:
    """Return a picture; Qt knows no href without a prefix."""
    return tag("image", **place, **{"xlink:href": embedded(png(picture))})
