"""A picture of an X-ray machine about its patient, as SVG: from the feet, from the right, and the image with the patient's sides."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from ..geometry.c_arm import angles
from ..geometry.camera import Camera
from ..mrml.xray_annotations import side_of_direction
from .geometry import angle
from .translation import _

#: Pixels of one drawing, and between two.
SIDE_PX, GAP_PX = 204, 8
TITLE_PX, NOTE_PX = 22, 20
GROUND, FRAME, LINE, BODY, TABLE, BEAM, METAL, TEXT = (
    "#0b0f13",
    "#161d24",
    "#2d3a45",
    "#b98d74",
    "#56636e",
    "#ffd27a",
    "#9fb4c6",
    "#d9e0e6",
)
#: Axes of the page, in the patient's (LPS), of a look from the feet and from the right: to the right, and down.
FROM_FEET = np.array([[1.0, 0, 0], [0, 1, 0]])
FROM_RIGHT = np.array([[0.0, 0, -1], [0, 1, 0]])
#: The patient's sides at the left, right, top and bottom of each.
LETTERS = {"feet": "RLAP", "right": "HFAP"}
#: Half of the patient, mm: across, front to back, length; and of the table below.
BODY_MM, TABLE_MM = (190.0, 115.0, 620.0), (260.0, 18.0)
#: The drawing shows at least this much about the isocentre, mm.
LEAST_MM = 420.0
ARC_MM = 210.0


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
    width, height = 3 * SIDE_PX + 2 * GAP_PX, SIDE_PX + TITLE_PX + NOTE_PX
    parts = [
        f'<g transform="translate({number * (SIDE_PX + GAP_PX)} 0)">{drawing}</g>'
        for number, drawing in enumerate(drawings)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="Roboto, sans-serif">{_rect(0, 0, width, height, FRAME)}{"".join(parts)}</svg>'
    )


def _drawing(camera: Camera, detector_mm: float, certain: bool, axes: np.ndarray, name: str) -> str:
    corners = np.array(camera.corners)
    sources, edge = camera.sources(corners), camera.at_depth(corners, detector_mm)
    reach = max(LEAST_MM, np.abs(np.concatenate([sources, edge]) @ axes.T).max() + 40)
    scale = SIDE_PX / 2 / reach

    def place(points) -> np.ndarray:
        return np.asarray(points, float) @ axes.T * scale + [SIDE_PX / 2, TITLE_PX + SIDE_PX / 2]

    dashed = "" if certain else ' stroke-dasharray="5 4"'
    title = _("From the feet") if name == "feet" else _("From the right")
    single = camera.fan_axes == 2
    parts = [_rect(0, TITLE_PX, SIDE_PX, SIDE_PX, GROUND), *_patient(scale, name)]
    hull = _hull(place(np.concatenate([sources, edge])))
    parts.append(f'<polygon points="{_points(hull)}" fill="{BEAM}" fill-opacity="0.16" stroke="none"/>')
    middle = (np.array(camera.size) - 1) / 2
    start, end = place(camera.sources(middle)), place(camera.at_depth(middle, detector_mm))
    if single:
        parts.append(_polyline(place(_arc(camera, detector_mm)), METAL, 5, opacity=0.55))
    else:
        parts.append(_polyline(place(sources[[0, 3]]), METAL, 3, opacity=0.8))
    parts.append(_polyline(np.stack([start, end]), BEAM, 1.4, more=dashed or ' stroke-dasharray="9 4"'))
    parts.append(
        f'<polygon points="{_points(place(edge))}" fill="{METAL}" fill-opacity="0.3" stroke="{METAL}" stroke-width="4"{dashed}/>'
    )
    parts.append(f'<circle cx="{start[0]:.1f}" cy="{start[1]:.1f}" r="6" fill="{BEAM}"/>')
    at = SIDE_PX / 2, TITLE_PX + SIDE_PX / 2
    for letter, (x, y) in zip(
        LETTERS[name],
        ((11, at[1] - 8), (SIDE_PX - 11, at[1] - 8), (at[0] - 34, TITLE_PX + 18), (at[0] - 34, TITLE_PX + SIDE_PX - 8)),
        strict=True,
    ):
        parts.append(_text(x, y, letter, TEXT, 15, bold=True))
    parts.append(_text(4, 15, title, TEXT, 13, anchor="start"))
    if single:
        primary, secondary, _roll = angles(camera.camera_from_world[:3, :3].T)
        said = angle(primary, "LAO", "RAO") if name == "feet" else angle(secondary, "CRA", "CAU")
        parts.append(_text(SIDE_PX - 4, 15, said if certain else f"{said} ?", BEAM, 13, anchor="end", bold=True))
        parts += _angle_arc(camera, place, name, scale)
    note = {"feet": _("\u25cf source   \u25ae detector"), "right": _("H: head, F: feet, A: front")}[name]
    parts.append(_text(4, TITLE_PX + SIDE_PX + 14, note, METAL, 11, anchor="start"))
    return "".join(parts)


def _patient(scale: float, name: str) -> list[str]:
    """Return the patient on his back on a table, about the isocentre."""
    x, y = SIDE_PX / 2, TITLE_PX + SIDE_PX / 2
    across, deep, length = (scale * mm for mm in BODY_MM)
    table = scale * TABLE_MM[0], max(scale * TABLE_MM[1], 2)
    clip = SIDE_PX / 2
    if name == "feet":
        head = 0.55 * deep
        return [
            _rect(x - table[0], y + deep, 2 * table[0], table[1], TABLE),
            f'<ellipse cx="{x}" cy="{y}" rx="{across:.1f}" ry="{deep:.1f}" fill="{BODY}" fill-opacity="0.75"/>',
            f'<circle cx="{x}" cy="{y}" r="{head:.1f}" fill="none" stroke="{GROUND}" stroke-width="1.5"/>',
            f'<path d="M{x - 0.22 * head:.1f} {y - 0.9 * head:.1f} L{x} {y - 1.35 * head:.1f} L{x + 0.22 * head:.1f} {y - 0.9 * head:.1f}" '
            f'fill="{BODY}" stroke="{GROUND}" stroke-width="1.5"/>',
        ]
    far = min(length, clip)
    skull, left = 0.8 * deep, max(x - far - 0.1 * deep, 1.7 * deep)
    return [
        _rect(0, y + deep, SIDE_PX, table[1], TABLE),
        f'<path d="M{left:.1f} {y - 0.55 * deep:.1f} Q{x:.1f} {y - 1.35 * deep:.1f} {x + 0.5 * far:.1f} {y - 0.5 * deep:.1f} '
        f'L{SIDE_PX} {y - 0.1 * deep:.1f} L{SIDE_PX} {y + deep:.1f} L{left:.1f} {y + deep:.1f} Z" fill="{BODY}" fill-opacity="0.75"/>',
        f'<ellipse cx="{left - 0.6 * skull:.1f}" cy="{y + 0.15 * deep:.1f}" rx="{skull:.1f}" ry="{0.85 * skull:.1f}" fill="{BODY}" '
        f'fill-opacity="0.75"/>',
        f'<path d="M{left - 0.8 * skull:.1f} {y + 0.15 * deep - 0.8 * skull:.1f} l{0.18 * skull:.1f} {-0.3 * skull:.1f} '
        f'l{0.18 * skull:.1f} {0.3 * skull:.1f} Z" fill="{BODY}"/>',
    ]


def _arc(camera: Camera, detector_mm: float) -> np.ndarray:
    """Return the C (n, 3) from the detector round the patient's head to the source."""
    turn = camera.camera_from_world[:3, :3].T
    beam, to_head = turn[:, 2], -turn[:, 1]
    to_source = camera.source @ -beam
    to_detector = detector_mm - to_source
    ways = np.radians(np.linspace(0, 180, 41))[:, None]
    radius = to_detector + (to_source - to_detector) * (1 - np.cos(ways)) / 2
    return radius * (np.cos(ways) * beam + 0.85 * np.sin(ways) * to_head)


def _angle_arc(camera: Camera, place, name: str, scale: float) -> list[str]:
    """Draw the arc from the front to where the detector is, seen from one side, and the line to the front itself."""
    beam = camera.camera_from_world[2, :3]
    across = beam[0] if name == "feet" else -beam[2]
    if np.hypot(across, beam[1]) < 0.3:  # it is seen end on
        return []
    turn = np.arctan2(across, -beam[1])
    steps = np.linspace(0, turn, 24)
    flat = ARC_MM * np.stack([np.sin(steps), -np.cos(steps)], axis=1) * scale + [SIDE_PX / 2, TITLE_PX + SIDE_PX / 2]
    front = np.array([[0, 0], [0, -1.25 * ARC_MM]]) * scale + [SIDE_PX / 2, TITLE_PX + SIDE_PX / 2]
    parts = [_polyline(front, TEXT, 1, opacity=0.6, more=' stroke-dasharray="2 3"')]
    if abs(turn) > np.radians(1):
        parts.append(_polyline(flat, BEAM, 2))
    return parts


def _image(camera: Camera, left_known: bool, picture: np.ndarray | None, aspect: float) -> str:
    """Return the X-ray as it is stored, with the patient's sides at its edges."""
    columns, rows = camera.size
    tall = rows * aspect
    scale = (SIDE_PX - 44) / max(columns, tall)
    width, height = columns * scale, tall * scale
    left, top = (SIDE_PX - width) / 2, TITLE_PX + (SIDE_PX - height) / 2
    parts = [_rect(0, TITLE_PX, SIDE_PX, SIDE_PX, GROUND)]
    if picture is not None:
        parts.append(
            f'<image x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none" '
            f'xlink:href="{_data_url(picture)}"/>'
        )
    parts.append(_rect(left, top, width, height, "none", f' stroke="{LINE}" stroke-width="1"'))
    right, down = camera.plane_at(1.0)[:, :2].T
    sides = [side_of_direction(way) for way in (-right, right, -down, down)]
    if not left_known:
        sides[:2] = "?", "?"
    x, y = SIDE_PX / 2, TITLE_PX + SIDE_PX / 2
    places = ((left - 12, y + 5), (left + width + 12, y + 5), (x, top - 5), (x, top + height + 16))
    parts += [_text(*at, side, TEXT, 15, bold=True) for at, side in zip(places, sides, strict=True)]
    parts.append(_text(4, 15, _("The X-ray and its sides"), TEXT, 13, anchor="start"))
    parts.append(_text(4, TITLE_PX + SIDE_PX + 14, _("Compare with the image's marker."), METAL, 11, anchor="start"))
    return "".join(parts)


def _data_url(picture: np.ndarray) -> str:
    """Return the address of a grey PNG.

    Parameters
    ----------
    picture
        Uint8 (rows, columns, 3), grey.
    """
    rows, columns, _colours = picture.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), picture[..., 0]], axis=1)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()  # Slicer need not have Pillow


def _hull(points: np.ndarray) -> np.ndarray:
    """Return the convex hull (n, 2) of points (m, 2), in order."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # all on a line
        return points


def _points(points: Iterable[Sequence[float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _polyline(points, colour: str, width: float, opacity: float = 1.0, more: str = "") -> str:
    return f'<polyline points="{_points(points)}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-opacity="{opacity}"{more}/>'


def _rect(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{more}/>'


def _text(x: float, y: float, words: str, colour: str, size: int, anchor: str = "middle", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{weight}>{words}</text>'
