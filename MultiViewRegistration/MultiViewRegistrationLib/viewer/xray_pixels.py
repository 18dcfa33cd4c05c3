"""The pixels of an X-ray pane, and the poses and cameras that the page moves the CT by.

The X-ray is sent with 16 bits per pixel, so that the page sets brightness and contrast. A DRR is
sent with 8 bits per pixel while the CT moves, and with 16 once it is sharp.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import slicer

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.field import block_sums
from ..io.files import plain
from ..mrml import manual_pose, overlay
from ..mrml.ct_3d import moved_bone
from ..mrml.drawing import ToneMatch, pooling_of
from ..mrml.registration import Registration
from ..mrml.xray import DetectorPlane, XRayView
from ..session.session import Session

if TYPE_CHECKING:
    from ..report.overlays import Film

#: No translation of a pose is larger, in mm.
MAX_MM = 1e5
stamps = count(1)


class MovablePoses:
    """The poses that a page may change by hand.

    Attributes
    ----------
    pose : dict or None
        Pose of the CT, {"world_from_ct": (4, 4), "centre": in CT mm}; None without a usable CT.
    bone : dict or None
        The same for the bone that is being moved, with its name; None if the whole CT is moved.
    pose_stamp, bone_stamp : int
        Increased whenever the pose changes.
    """

    def __init__(self) -> None:
        self.pose: dict | None = None
        self.bone: dict | None = None
        self.pose_stamp = next(stamps)
        self.bone_stamp = next(stamps)

    def update(self, registration: Registration, *, has_ct: bool) -> None:
        """Read the poses from the scene; call it from a timer, and after each movement."""
        pose = _pose_state(registration) if has_ct else None
        if pose != self.pose:
            self.pose = pose
            self.pose_stamp = next(stamps)
        moved = moved_bone(registration)
        bone = {"name": moved.name, **(_pose_state(moved) or {})} if moved else None
        if bone != self.bone:
            self.bone = bone
            self.bone_stamp = next(stamps)


def camera_state(camera: Camera) -> dict:
    """Return the numbers of a camera that the page needs to move the CT as `mrml.manual_pose` does."""
    state = {
        "stamp": next(stamps),
        "source": camera.sources(np.zeros(2)),
        "step": camera.source_step,
        "rays": camera.ray_matrix,
        "forms": camera.linear_forms,
        "axes": camera.camera_from_world[:3, :3],
        "mirrored": np.sign(camera.intrinsics[0, 0]),
    }
    return plain(state)


def _pose_state(body: manual_pose.Body) -> dict | None:
    try:
        centre = manual_pose.centre_in_ct(body)
    except InputError:
        return None
    return {"world_from_ct": body.world_from_ct.tolist(), "centre": centre.tolist()}


def checked_pose(numbers: list) -> np.ndarray:
    """Return a pose (4, 4) from the page.

    Raises
    ------
    InputError
        For an invalid one.
    """
    pose = rigid.check_rigid(numbers, "Movement")
    if np.abs(pose[:3, 3]).max() > MAX_MM:
        raise InputError(
            f"Movement: leads {np.abs(pose[:3, 3]).max():g} mm away, expected at most {MAX_MM:g} "
            "mm."
        )
    return pose


#: Pixels along the longest side from which on the page gets blocks of pixels instead.
MAX_SIDE = 2048
#: Codes of the lowest and the highest value, of the latter in 16 and in 8 bits; 0 means transparent.
FIRST = 1
LAST = 65535
LAST_COARSE = 255


@dataclass(frozen=True, eq=False)
class EncodedXRay:
    """An X-ray and its scale.

    Attributes
    ----------
    codes
        Uint16 (rows, columns), each for `pooled` x `pooled` pixels of the X-ray; 0 where it is
        black whatever the window.
    low, high
        The line integrals of the codes FIRST and LAST.
    """

    codes: np.ndarray
    pooled: int
    low: float
    high: float

    @classmethod
    def of(cls, view: XRayView) -> EncodedXRay:
        """Encode an X-ray with an image."""
        values = slicer.util.arrayFromVolume(view.node)[0]
        display = view.display
        pooled = -(-max(values.shape) // MAX_SIDE)
        if pooled > 1:
            values = block_sums(values, pooled) / pooled**2
        shown = values
        if display.GetApplyThreshold():  # collimator blades
            ends = display.GetLowerThreshold(), display.GetUpperThreshold()
            within = (values >= ends[0]) & (values <= ends[1])
            shown = values[within]
            values = np.where(within, values, np.float32(np.nan))
        codes, low, high = scaled(values, shown)
        return cls(codes, pooled, low, high)


def scaled(
    values: np.ndarray, shown: np.ndarray, last: int = LAST
) -> tuple[np.ndarray, float, float]:
    """Encode line integrals between the lowest and the highest of `shown`.

    Returns
    -------
    codes : (rows, columns) array
        See `encoded`.
    low, high : float
        The line integrals of the first and the last code.
    """
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    return encoded(values, low, high, last), low, max(high, low + 1e-3)


def encoded(values: np.ndarray, low: float, high: float, last: int = LAST) -> np.ndarray:
    """Encode line integrals as integers from FIRST to `last`, uint16 or uint8.

    A code is 0 where the value is NaN; values outside the scale get the first or the last code.
    """
    codes = np.subtract(values, low, dtype=np.float32)
    codes *= (last - FIRST) / max(high - low, 1e-3)
    codes += FIRST
    np.clip(np.rint(codes, out=codes), FIRST, last, out=codes)
    codes[np.isnan(codes)] = 0
    return codes.astype(np.uint16 if last > LAST_COARSE else np.uint8)


@dataclass(eq=False)
class Layer:
    """An overlay on an X-ray: a DRR (rows, columns), NaN where it has no value, or a picture.

    Attributes
    ----------
    kind : {"drr", "picture"}
        A picture is uint8 (rows, columns, 4).
    image : array
        Its pixels.
    factor : int
        Width of one of its pixels, in pixels of the X-ray.
    stamp : int
        Different for each layer.
    sharp : bool
        Whether it has its final resolution.
    """

    kind: str
    image: np.ndarray
    factor: int
    stamp: int
    sharp: bool

    def encode(self) -> dict:
        """Return the layer as a message to the page."""
        pixels = self.image
        low = 0.0
        high = 1e-3
        if self.kind == overlay.DRR:
            shown = self.image[np.isfinite(self.image)]
            pixels, low, high = scaled(self.image, shown, LAST if self.sharp else LAST_COARSE)
        return {
            "stamp": self.stamp,
            "sharp": self.sharp,
            "kind": self.kind,
            "columns": pixels.shape[1],
            "rows": pixels.shape[0],
            "factor": self.factor,
            "low": low,
            "high": high,
            "pixels": pixels.tobytes(),
        }


class OverlayLayers:
    """The overlays of a session's X-rays, which pages fetch; a `mrml.drawing.Canvas`.

    Attributes
    ----------
    poses : MovablePoses
        The poses at which the next layers are drawn.
    tone_matches : dict
        By the ID of an X-ray, which of its greys look like those of its DRR.
    """

    def __init__(self) -> None:
        self.poses = MovablePoses()
        self.tone_matches: dict[str, ToneMatch] = {}
        self._shown: dict[str, Layer] = {}

    def kind(self, mode: str) -> str | None:
        """Return what the server draws for a mode: a picture or a DRR; None for nothing."""
        if mode == "off":
            return None
        return overlay.PICTURE if mode in ("edges", "colours", "difference") else overlay.DRR

    def foreground(self, view: XRayView, mode: str) -> Layer | None:
        """Return the layer of an X-ray in this mode; None where there is none (yet)."""
        layer = self._shown.get(view.id)
        return layer if layer is not None and layer.kind == self.kind(mode) else None

    def remove(self, view: XRayView, but: str = "off") -> None:
        """Forget a layer that a mode has no use for, as it no longer shows where the CT is."""
        if self.foreground(view, but) is None:
            self._shown.pop(view.id, None)

    def show(self, detector: DetectorPlane, kind: str, image: np.ndarray, factor: int) -> None:
        """Lay a DRR or a picture over its X-ray."""
        self._shown[detector.view.id] = Layer(
            kind,
            image,
            factor,
            next(stamps),
            factor <= pooling_of(detector),
        )

    def shade(self, view: XRayView, tones: ToneMatch) -> None:
        """Set which values of the X-ray those of its DRR look like."""
        self.tone_matches[view.id] = tones

    def picture_of(self, mode: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
        """Make the picture of a mode, uint8 (rows, columns, 4), as `report.overlays.live_layer`."""
        from ..report.overlays import live_layer

        return live_layer(mode, film, drr, structure=structure)


def layers_of(session: Session) -> OverlayLayers:
    """Return the layers onto which a session draws, so that pages can show them."""
    canvas = session.drawing.canvas
    if not isinstance(canvas, OverlayLayers):
        canvas = session.drawing.canvas = OverlayLayers()
    return canvas
