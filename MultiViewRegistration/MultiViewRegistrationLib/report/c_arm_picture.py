"""A picture of an X-ray machine about its patient, as SVG.

From the feet, from the right, and the image with the patient's sides.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np

from ..geometry.c_arm import angle, angles, side_of_direction
from ..geometry.camera import Camera
from ..translation import _
from .html import beam, embedded, outline, png, polyline, tag

#: Pixels of one drawing, and between two.
SIDE_PX = 204
GAP_PX = 8
TITLE_PX = 22
NOTE_PX = 20
GROUND = "#0b0f13"
FRAME = "#161d24"
LINE = "#2d3a45"
BODY = "#b98d74"
TABLE = "#56636e"
BEAM = "#ffd27a"
METAL = "#9fb4c6"
TEXT = "#d9e0e6"
#: Axes of the page, in the patient's (LPS), of a look from the feet and from the right: to the
#: right, and down.
FROM_FEET = np.array([[1.0, 0, 0], [0, 1, 0]])
FROM_RIGHT = np.array([[0.0, 0, -1], [0, 1, 0]])
#: The patient's sides at the left, right, top and bottom of each.
LETTERS = {"feet": "RLAP", "right": "HFAP"}
#: Half of the patient, mm: across, front to back, length; and of the table below.
BODY_MM = (190.0, 115.0, 620.0)
TABLE_MM = (260.0, 18.0)
#: The drawing shows at least this much about the isocentre, mm.
LEAST_MM = 420.0
ARC_MM = 210.0
MIDDLE = np.array([SIDE_PX / 2, TITLE_PX + SIDE_PX / 2])


def machine_svg(
    camera: Camera,
    detector_mm: float,
    certain: bool = True,
    left_known: bool = True,
    picture: np.ndarray | None = None,
    aspect: float = 1.0,
) -> str:
    """Return the drawings beside each other, as SVG Tiny, which Qt draws as a browser does.

    Parameters
    ----------
    camera
        World LPS mm, its origin the isocentre.
    detector_mm
        From the source to the detector, along the beam.
    certain
        False while numbers are missing: lines are dashed then.
    left_known
        Whether it is known which side of the patient is on the left of the image.
    picture
        The X-ray, uint8 (rows, columns, 3); None for a frame without one.
    aspect
        Height of its pixels over their width.
    """
    drawings = [
        _drawing(camera, detector_mm, certain, FROM_FEET, "feet"),
        _drawing(camera, detector_mm, certain, FROM_RIGHT, "right"),
        _image(camera, left_known, picture, aspect),
    ]
    width = 3 * SIDE_PX + 2 * GAP_PX
    height = SIDE_PX + TITLE_PX + NOTE_PX
    root = tag(
        "svg",
        _rect(0, 0, width, height, FRAME),
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
        font_family="Roboto, sans-serif",
        xmlns="http://www.w3.org/2000/svg",
        **{"xmlns:xlink": "http://www.w3.org/1999/xlink"},
    )
    for number, drawing in enumerate(drawings):
        root.append(tag("g", *drawing, transform=f"translate({number * (SIDE_PX + GAP_PX)} 0)"))
    return ET.tostring(root, encoding="unicode")


def _drawing(
    camera: Camera, detector_mm: float, certain: bool, axes: np.ndarray, name: str
) -> list[ET.Element]:
    rays = beam(camera, detector_mm) @ axes.T
    scale = SIDE_PX / 2 / max(LEAST_MM, np.abs(rays).max() + 40)

    single = camera.fan_axes == 2
    (*sources, start), (*edge, end) = rays * scale + MIDDLE
    dashed = None if certain else "5 4"
    title = _("From the feet") if name == "feet" else _("From the right")
    note = {"feet": _("\u25cf source   \u25ae detector"), "right": _("H: head, F: feet, A: front")}[
        name
    ]
    parts = [*_frame(title, note), *_patient(scale, name)]
    parts.append(outline(_hull(np.array([*sources, *edge])), fill=BEAM, fill_opacity=0.16))
    if single:
        arc = _arc(camera, detector_mm) @ axes.T * scale + MIDDLE
        parts.append(polyline(arc, stroke=METAL, stroke_width=5, stroke_opacity=0.55))
    else:
        parts.append(
            polyline([sources[0], sources[3]], stroke=METAL, stroke_width=3, stroke_opacity=0.8)
        )
    parts.append(
        polyline([start, end], stroke=BEAM, stroke_width=1.4, stroke_dasharray=dashed or "9 4")
    )
    parts.append(
        outline(
            edge,
            fill=METAL,
            fill_opacity=0.3,
            stroke=METAL,
            stroke_width=4,
            stroke_dasharray=dashed,
        )
    )
    parts.append(tag("circle", cx=start[0], cy=start[1], r=6, fill=BEAM))
    x, y = MIDDLE
    places = (
        (11, y - 8),
        (SIDE_PX - 11, y - 8),
        (x - 34, TITLE_PX + 18),
        (x - 34, TITLE_PX + SIDE_PX - 8),
    )
    parts += _letters(LETTERS[name], places)
    if single:
        primary, secondary, _roll = angles(camera.camera_from_world[:3, :3].T)
        said = angle(primary, "LAO", "RAO") if name == "feet" else angle(secondary, "CRA", "CAU")
        said += "" if certain else " ?"
        parts.append(_text(SIDE_PX - 4, 15, said, BEAM, 13, text_anchor="end", font_weight="bold"))
        parts += _angle_arc(camera, name, scale)
    return parts


def _patient(scale: float, name: str) -> list[ET.Element]:
    """Return the patient on his back on a table, about the isocentre."""
    x, y = MIDDLE
    across, deep, length = (scale * mm for mm in BODY_MM)
    table = scale * TABLE_MM[0], max(scale * TABLE_MM[1], 2)
    skin = {"fill": BODY, "fill_opacity": 0.75}
    if name == "feet":
        head = 0.55 * deep
        nose = [
            (x - 0.22 * head, y - 0.9 * head),
            (x, y - 1.35 * head),
            (x + 0.22 * head, y - 0.9 * head),
        ]
        return [
            _rect(x - table[0], y + deep, 2 * table[0], table[1], TABLE),
            tag("ellipse", cx=x, cy=y, rx=across, ry=deep, **skin),
            tag("circle", cx=x, cy=y, r=head, fill="none", stroke=GROUND, stroke_width=1.5),
            polyline(nose, fill=BODY, stroke=GROUND, stroke_width=1.5),
        ]
    far = min(length, SIDE_PX / 2)
    skull = 0.8 * deep
    left = max(x - far - 0.1 * deep, 1.7 * deep)
    high = y + 0.15 * deep - 0.8 * skull
    nose = [
        (left - 0.8 * skull, high),
        (left - 0.62 * skull, high - 0.3 * skull),
        (left - 0.44 * skull, high),
    ]
    belly = f"M{left:.1f} {y - 0.55 * deep:.1f} Q{x:.1f} {y - 1.35 * deep:.1f} {x + 0.5 * far:.1f} {y - 0.5 * deep:.1f} "
    back = f"L{SIDE_PX} {y - 0.1 * deep:.1f} L{SIDE_PX} {y + deep:.1f} L{left:.1f} {y + deep:.1f} Z"
    return [
        _rect(0, y + deep, SIDE_PX, table[1], TABLE),
        tag("path", d=belly + back, **skin),
        tag(
            "ellipse", cx=left - 0.6 * skull, cy=y + 0.15 * deep, rx=skull, ry=0.85 * skull, **skin
        ),
        polyline(nose, fill=BODY),
    ]


def _arc(camera: Camera, detector_mm: float) -> np.ndarray:
    """Return the C (n, 3) from the detector round the patient's head to the source."""
    turn = camera.camera_from_world[:3, :3].T
    beam = turn[:, 2]
    to_head = -turn[:, 1]
    to_source = camera.source @ -beam
    to_detector = detector_mm - to_source
    ways = np.radians(np.linspace(0, 180, 41))[:, None]
    radius = to_detector + (to_source - to_detector) * (1 - np.cos(ways)) / 2
    return radius * (np.cos(ways) * beam + 0.85 * np.sin(ways) * to_head)


def _angle_arc(camera: Camera, name: str, scale: float) -> list[ET.Element]:
    """Draw the arc from the front to where the detector is, seen from one side, and the line to the front itself."""
    ahead = camera.camera_from_world[2, :3]
    across = ahead[0] if name == "feet" else -ahead[2]
    if np.hypot(across, ahead[1]) < 0.3:  # it is seen end on
        return []
    turn = np.arctan2(across, -ahead[1])
    steps = np.linspace(0, turn, 24)
    front = MIDDLE - [[0, 0], [0, 1.25 * ARC_MM * scale]]
    parts = [polyline(front, stroke=TEXT, stroke_dasharray="2 3", stroke_opacity=0.6)]
    if abs(turn) > np.radians(1):
        parts.append(
            polyline(
                MIDDLE + ARC_MM * scale * np.stack([np.sin(steps), -np.cos(steps)], axis=1),
                stroke=BEAM,
                stroke_width=2,
            )
        )
    return parts


def _image(
    camera: Camera, left_known: bool, picture: np.ndarray | None, aspect: float
) -> list[ET.Element]:
    """Return the X-ray as it is stored, with the patient's sides at its edges."""
    columns, rows = camera.size
    scale = (SIDE_PX - 44) / max(columns, rows * aspect)
    width = columns * scale
    height = rows * aspect * scale
    left, top = MIDDLE - np.array([width, height]) / 2
    frame = {"x": left, "y": top, "width": width, "height": height}
    parts = _frame(_("The X-ray and its sides"), _("Compare with the image's marker."))
    if picture is not None:
        parts.append(
            tag(
                "image",
                **frame,
                preserveAspectRatio="none",
                **{"xlink:href": embedded(png(picture))},
            )
        )
    parts.append(tag("rect", **frame, fill="none", stroke=LINE, stroke_width=1))
    right, down = camera.plane_at(1.0)[:, :2].T
    sides = [side_of_direction(way) for way in (-right, right, -down, down)]
    if not left_known:
        sides[:2] = "?", "?"
    x, y = MIDDLE
    places = ((left - 12, y + 5), (left + width + 12, y + 5), (x, top - 5), (x, top + height + 16))
    return parts + _letters(sides, places)


def _hull(points: np.ndarray) -> np.ndarray:
    """Return the convex hull (n, 2) of points (m, 2), in order."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # all on a line
        return points


def _rect(x: float, y: float, width: float, height: float, fill: str) -> ET.Element:
    return tag("rect", x=x, y=y, width=width, height=height, fill=fill)


def _text(x: float, y: float, words: str, colour: str, size: int, **style: str) -> ET.Element:
    return tag("text", words, x=x, y=y, fill=colour, font_size=size, **style)


def _letters(letters: Sequence[str], places: Sequence[tuple[float, float]]) -> list[ET.Element]:
    style = {"text_anchor": "middle", "font_weight": "bold"}
    return [
        _text(x, y, letter, TEXT, 15, **style)
        for letter, (x, y) in zip(letters, places, strict=True)
    ]


def _frame(title: str, note: str) -> list[ET.Element]:
    """Return the ground of a drawing, its title, and what stands below it."""
    ground = _rect(0, TITLE_PX, SIDE_PX, SIDE_PX, GROUND)
    return [
        ground,
        _text(4, 15, title, TEXT, 13),
        _text(4, TITLE_PX + SIDE_PX + 14, note, METAL, 11),
    ]
