"""X-rays, their beams and the patient as matplotlib figures for reports, case.html and the geometry table.

The projection is orthographic, so that a flat image is mapped by an affine matrix: X-rays on their
detectors are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.machines import angle, angles, image_sides
from ..imaging.xray import View
from .html import beam, page, section, tag
from .plot import image_of, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
#: Area of a pixel below which a picture is not drawn, as a fraction of its longer side squared: the map
#: of a picture seen edge-on has no inverse.
MIN_PICTURE_AREA = 1e-3
#: Longer side of a figure of a page, points.
FIGURE_PT = 600
#: Size of one drawing beside the geometry table, gap between two, and rows of text above and below, points.
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
img.scene, img.xray { display: block; width: 100%; height: auto; max-height: 88vh; background: #000; border-radius: 6px; }
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
    """

    name: str
    camera: Camera
    detector_mm: float
    picture: np.ndarray | None
    aspect: float = 1.0

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
        drawn = scene_figure(scene, look_from(scene, turned, elevation))
        looks.append(tag("figure", tag("figcaption", side), image_of(drawn, "scene")))
    images = []
    for nth, view in enumerate(scene.views):
        caption = tag("figcaption", view.name, style=f"color: {COLOURS[nth % len(COLOURS)]}")
        images.append(tag("figure", caption, image_of(xray_figure(scene, nth), "xray")))
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


def machine_figure(view: DrawnView) -> Figure:
    """Return a figure of a C-arm about the patient from the feet and from the right, and of the X-ray with the patient's sides.

    Parameters
    ----------
    view
        View in a world with its origin at the isocentre, along the patient's axes.
    """
    from matplotlib.figure import Figure

    from ..translation import _  # which loads Slicer's classes where they are

    scene = Scene([view], None, np.eye(4))
    angle_texts = ["", "", ""]
    if not view.camera.is_slot_scan:
        primary, secondary, _roll = angles(view.camera.camera_from_world[:3, :3].T)
        angle_texts[0] = angle(primary, "LAO", "RAO")
        angle_texts[1] = angle(secondary, "CRA", "CAU")
    titles = [
        (_("From the feet"), _("\u25cf source   \u25ae detector")),
        (_("From the right"), _("H: head, F: feet, A: front")),
        (_("The X-ray and its sides"), _("Compare with the image's marker.")),
    ]
    width = 3 * SIDE_PX + 2 * GAP_PX
    height = SIDE_PX + 2 * WORDS_PX
    figure = Figure(figsize=(width / 72, height / 72), facecolor=FRAME)
    figure.set_label(_("Source and detector about the patient"))
    for number, ((title, note), angle_text) in enumerate(zip(titles, angle_texts, strict=True)):
        left = number * (SIDE_PX + GAP_PX)
        box = (left / width, WORDS_PX / height, SIDE_PX / width, SIDE_PX / height)
        axes = figure.add_axes(box, facecolor=GROUND)
        top = (height - 15) / height
        figure.text((left + 4) / width, top, title, color=TEXT, size=12)
        figure.text((left + SIDE_PX) / width, top, angle_text, color=BOX, size=12, ha="right")
        figure.text((left + 4) / width, 6 / height, note, color=QUIET, size=10)
        if number < 2:
            _draw_scene(axes, scene, (FROM_FEET, FROM_RIGHT)[number], LINES)
        else:
            _draw_xray(axes, scene, 0)
    return figure


class _Drawing:
    """Axes in the units of the drawn data, with y down and texts inside the limits.

    Parameters
    ----------
    axes
        Axes to draw into; they get the limits and no frame.
    low, high
        (2,) corners of the drawing.
    em
        Height of a line of text, in the units of the data.
    """

    def __init__(self, axes: Axes, low: np.ndarray, high: np.ndarray, em: float) -> None:
        self.axes = axes
        self.em = em
        self._low = low
        self._high = high
        box = axes.get_window_extent()
        unit = min(box.width / (high[0] - low[0]), box.height / (high[1] - low[1]))
        left, top = (low + high) / 2 - np.array([box.width, box.height]) / (2 * unit)
        right, bottom = low + high - (left, top)
        axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="auto")
        axes.spines[:].set_visible(False)
        axes.set_autoscale_on(False)
        #: Points per unit of the data.
        self.points = unit * 72 / axes.figure.dpi

    def line(self, points: ArrayLike, colour: str, width: float, dashed: bool = False) -> None:
        """Draw a line through (n, 2), `width` in the units of the data."""
        (line,) = self.axes.plot(
            *np.transpose(np.asarray(points)), color=colour, lw=width * self.points
        )
        if dashed:
            line.set_linestyle((0, (4, 4)))

    def text(self, text: str, at: np.ndarray, colour: str, *, bold: bool = False) -> None:
        """Write a text with its middle at (2,), or as near to there as the drawing reaches."""
        from matplotlib.patheffects import withStroke

        half = 0.5 * self.em * np.array([GLYPH * len(text), 1.0])
        x, y = np.clip(at, self._low + half, self._high - half)
        size = 0.9 * self.em * self.points
        self.axes.text(
            x,
            y,
            plain_text(text),
            color=colour,
            size=size,
            weight="bold" if bold else "normal",
            ha="center",
            va="center",
            zorder=9,
            path_effects=[withStroke(linewidth=0.18 * size, foreground="#000")],
        )

    def picture(self, picture: np.ndarray, affine: np.ndarray, size: tuple[int, int]) -> None:
        """Draw a picture of an image of a size (columns, rows), whose pixels `affine` (2, 3) maps; nothing if it is seen edge-on."""
        from matplotlib.transforms import Affine2D

        across, down = affine[:, :2].T
        area = abs(np.linalg.det(affine[:, :2]))
        if area < MIN_PICTURE_AREA * max(across @ across, down @ down):
            return
        columns, rows = size
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        placed = Affine2D(np.vstack([affine, [0, 0, 1]])) + self.axes.transData
        self.axes.imshow(
            picture,
            extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
            interpolation="none",
            transform=placed,
            aspect="auto",
            zorder=2,
        )


def _page_figure(title: str, low: np.ndarray, high: np.ndarray) -> tuple[Figure, Axes]:
    """Return a figure with the sides of a drawing, and axes that fill it."""
    from matplotlib.figure import Figure

    size = FIGURE_PT / 72 * (high - low) / max(high - low)
    figure = Figure(figsize=tuple(size), facecolor="#000")
    figure.set_label(title)
    return figure, figure.add_axes((0, 0, 1, 1), facecolor="none")


def scene_figure(scene: Scene, basis: np.ndarray, lines: float = 38) -> Figure:
    """Return a figure of the scene.

    Parameters
    ----------
    basis
        (3, 3), rows: to the right of the picture, down, and away from the viewer, in the world.
    lines
        Longer side of the drawing in lines of its texts.
    """
    names = ", ".join(view.name for view in scene.views)
    figure, axes = _page_figure(f"Sources and detectors in 3D: {names}", *_limits(scene, basis))
    _draw_scene(axes, scene, basis, lines)
    return figure


def _limits(scene: Scene, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (2,) of the drawing of a scene."""
    flat = scene.outline @ basis[:2].T
    margin = 0.06 * np.ptp(flat, axis=0).max()
    return flat.min(0) - margin, flat.max(0) + margin


def _draw_scene(axes: Axes, scene: Scene, basis: np.ndarray, lines: float) -> None:
    low, high = _limits(scene, basis)
    em = float(max(high - low)) / 1.12 / lines
    drawing = _Drawing(axes, low, high, em)
    far_first = sorted(
        enumerate(scene.views), key=lambda each: -float(basis[2] @ each[1].beam[1, 4])
    )
    if scene.corners is None:
        _draw_patient(axes, basis)
    for nth, view in far_first:
        _draw_frustum(drawing, view, COLOURS[nth % len(COLOURS)], basis)
    if scene.anatomy is not None:
        _draw_bones(axes, scene, scene.anatomy, basis)
    if scene.corners is not None:
        for edge in EDGES:
            drawing.line(scene.corners[edge] @ basis[:2].T, BOX, em / 9)
    _draw_patient_axes(drawing, basis[:2], scene)


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


def xray_figure(scene: Scene, nth: int) -> Figure:
    """Return a figure of an X-ray with the outline of the CT's box, and the patient's sides at its edges."""
    view = scene.views[nth]
    figure, axes = _page_figure(f"{view.name} with the CT's box", *_xray_limits(view))
    _draw_xray(axes, scene, nth)
    return figure


def _xray_limits(view: DrawnView) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (2,) of the drawing of an X-ray with letters about it."""
    size = view.camera.size * np.array([1.0, view.aspect])
    margin = 1.5 * max(size) / IMAGE_LINES
    return np.full(2, -margin), np.asarray(size) + margin


def _draw_xray(axes: Axes, scene: Scene, nth: int) -> None:
    view = scene.views[nth]
    camera = view.camera
    stretch = np.array([1.0, view.aspect])
    columns, rows = camera.size * stretch
    em = max(columns, rows) / IMAGE_LINES
    drawing = _Drawing(axes, *_xray_limits(view), em)
    if view.picture is not None:
        stretched = np.column_stack([np.diag(stretch), [0, 0]])
        drawing.picture(view.picture, stretched, camera.size)
    corners = camera.corners * stretch
    drawing.line([*corners, corners[0]], COLOURS[nth % len(COLOURS)], em / 8)
    for edge in EDGES if scene.corners is not None else ():
        cut = _before_source(camera, *scene.box[edge])
        if cut is not None:
            drawing.line(camera.project(cut) * stretch, BOX, em / 9)
    sides = list(image_sides(camera, scene.world_from_ct)) if scene.patient_axes else [""] * 4
    right, down = np.array([columns, rows]) / 2
    out = 0.7 * em
    places = [(-out, down), (columns + out, down), (right, -out), (right, rows + out)]
    for side, place in zip(sides, places, strict=True):
        drawing.text(side, np.array(place), TEXT, bold=True)


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


def _draw_frustum(drawing: _Drawing, view: DrawnView, colour: str, basis: np.ndarray) -> None:
    """Draw the detector with its image, the beam, the source (of a slot scan, its path), and the name."""
    em = drawing.em
    flat = basis[:2]
    (*sources, source), (*detector, centre) = view.beam @ flat.T
    if view.picture is not None:
        on_detector = flat @ view.camera.plane_at(view.detector_mm)
        drawing.picture(view.picture, on_detector, view.camera.size)
    drawing.line([*detector, detector[0]], colour, em / 5)
    for ray in zip(sources, detector, strict=True):
        drawing.line(ray, colour, em / 16)
    if view.camera.source_step.any():
        drawing.line([sources[0], sources[2]], colour, em / 8)
    drawing.line([source, centre], colour, em / 12, True)
    drawing.axes.plot(*source, "o", color=colour, markersize=0.9 * em * drawing.points)
    if view.name:
        drawing.text(view.name, source - [0, 1.2 * em], colour)


def _draw_patient(axes: Axes, basis: np.ndarray) -> None:
    """Draw a patient supine on a table, seen along an axis of the patient."""
    from matplotlib.patches import Ellipse, Rectangle

    flat = np.abs(basis[:2])
    middle, half = basis[:2] @ TABLE_MM[0], flat @ TABLE_MM[1]
    axes.add_patch(Rectangle(middle - half, *(2 * half), color=TABLE))
    for body_middle, body_half in BODY_MM:
        sizes = 2 * (flat @ body_half)
        skin = Ellipse(tuple(basis[:2] @ body_middle), *sizes, facecolor=SKIN, edgecolor=GROUND)
        axes.add_patch(skin)


def _draw_bones(axes: Axes, scene: Scene, anatomy: PreparedCT, basis: np.ndarray) -> None:
    """Draw the bones of the CT as seen from the side of the drawing: a DRR from a distant source."""
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
    left, top = basis[:2] @ scene.middle - reach
    extent = (left, left + 2 * reach, top + 2 * reach, top)
    axes.imshow(rgba, extent=extent, interpolation="none", aspect="auto", zorder=2)


def _draw_patient_axes(drawing: _Drawing, flat: np.ndarray, scene: Scene) -> None:
    """Draw lines along the CT's axes through the centre of its box, with letters of the patient's directions at their ends."""
    em = drawing.em
    reach = max(0.6 * scene.reach, 4 * em)
    for axis, (letter, colour) in enumerate(PATIENT.items() if scene.patient_axes else ()):
        middle = flat @ scene.middle
        step = flat @ scene.world_from_ct[:3, axis] * reach
        ends = {letter: middle + step, OPPOSITE[letter]: middle - step}
        along = 2 * step
        length = float(np.linalg.norm(along))
        drawing.line(list(ends.values()), colour, em / 7)
        if length < 3 * em:  # along the line of sight: the letters would overlap
            continue
        for name, end in ends.items():
            out = along / length * (1 if name == letter else -1)
            drawing.text(name, end + 0.8 * em * out, colour, bold=True)


def _before_source(camera: Camera, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(2, 3): the part of a line that lies before the source; None for one behind it."""
    depths = camera.depth(np.stack([a, b]))
    if (depths < NEAREST).all():
        return None
    if (depths < NEAREST).any():
        cut = a + (b - a) * (NEAREST - depths[0]) / (depths[1] - depths[0])
        a, b = (cut, b) if depths[0] < NEAREST else (a, cut)
    return np.stack([a, b])
