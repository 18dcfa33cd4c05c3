"""The pixels of an X-ray pane, and what the page needs to draw the DRR in it by itself.

The X-ray, 16 bits a pixel, so that the page sets brightness and contrast itself, and what lies over
it. For the DRR: CT and bones as textures, their poses, and the X-rays' cameras
(browser/xray/graphics.js).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.field import block_sums, hull
from ..imaging.xray import XRay
from ..io.files import plain
from ..mrml import manual_pose, overlay
from ..mrml.ct_3d import moved_bone
from ..mrml.drawing import ToneMatch, pooling_of
from ..mrml.registration import Registration
from ..mrml.xray import DetectorPlane, XRayView
from ..rendering import cpu, drr
from ..rendering.texture import Texture
from ..session.parts import Parts
from ..session.session import Session
from ..session.tasks import BackgroundValue

if TYPE_CHECKING:
    from ..report.overlays import Film

#: Bytes of the texture in an answer at most, so that no other answer waits long for it.
PART_BYTES = 1 << 20
#: No translation of a pose is larger, in mm.
MAX_MM = 1e5
stamps = count(1)


class BrowserDRR:
    """The DRR of a session that a page draws by itself: made for it as soon as a page wants it.

    Attributes
    ----------
    wanted
        Whether a page draws DRRs by itself.
    pose
        The CT's, {"world_from_ct": (4, 4), "centre": in CT mm}; None without a usable CT.
    bone
        The same of the bone that a hand moves, with its name; None where it moves the whole CT.
    places
        Where each of the textures lies, (4, 4) by its name.
    pose_stamp, bone_stamp
        Another one, and a larger one, for whatever other pose; of any body the first.
    state
        All of the textures but their voxels; None before there are any.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.pose_stamp = next(stamps)
        self.bone_stamp = next(stamps)
        self._textures = BackgroundValue()
        self._stamp = 0
        self.state: dict | None = None
        self.places: dict[str, list] = {}
        self.pose: dict | None = None
        self.bone: dict | None = None

    def update(self, drawn: Parts, registration: Registration) -> None:
        """Follow CT and bones, and their poses; call it from a timer, and after each movement."""
        parts = drawn.now
        pose = _pose_state(registration) if parts else None
        there = drawn.places
        places = {name: there[name].tolist() for name in parts}
        if (pose, places) != (self.pose, self.places):
            self.pose = pose
            self.places = places
            self.pose_stamp = next(stamps)
        moved = moved_bone(registration)
        bone = {"name": moved.name, **(_pose_state(moved) or {})} if moved else None
        if bone != self.bone:
            self.bone = bone
            self.bone_stamp = next(stamps)
        made_of = tuple(parts.values())
        if self.wanted and self._textures.update(
            made_of, lambda: partial(_textures_of, parts) if parts else None
        ):
            self._stamp = next(stamps)
            bodies = [_body_state(*each) for each in (self._textures.value or {}).items()]
            self.state = plain({"stamp": self._stamp, "bodies": bodies}) if bodies else None

    def part(self, stamp: int, nth: int, first: int) -> dict:
        """Return slices of the n-th texture from the first on, as many as PART_BYTES allow.

        None of one no longer there.

        With number 0 come its bone_ends.
        """
        textures = [*(self._textures.value or {}).values()] if stamp == self._stamp else []
        if not (0 <= nth < len(textures) and 0 <= first < len(textures[nth].values)):
            return {"slices": 0}
        texture = textures[nth]
        slices = texture.values[first : first + max(PART_BYTES // texture.values[0].size, 1)]
        ends = {} if first else {"bone_ends": texture.bone_ends.tobytes()}
        return {"slices": len(slices), "voxels": slices.tobytes(), **ends}


def _textures_of(parts: dict[str, Any]) -> dict[str, Texture]:
    return {name: part.texture() for name, part in parts.items()}


def _body_state(name: str, texture: Texture) -> dict:
    axes = texture.ct_from_texel[:3, :3] / rigid.steps(texture.ct_from_texel)
    return {
        "name": name,
        "size": texture.values.shape[::-1],
        "max_per_mm": texture.max_per_mm,
        "bone_per_mm": texture.bone_per_mm,
        "tissue_per_mm": drr.TISSUE_PER_MM,
        "unseen_mm": cpu.UNSEEN_TISSUE_MM,
        "facing": drr.FACING_COSINE,
        "cut": texture.cut,
        "axes": axes.T,
        "ct_from_texel": texture.ct_from_texel,
        "texel_from_ct": np.linalg.inv(texture.ct_from_texel),
    }


def camera_state(camera: Camera) -> dict:
    """Return a camera as the page draws and moves with it.

    All of `geometry.camera.Camera` that rays and `mrml.manual_pose` need.
    """
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
#: Codes of values; 0 means transparent.
FIRST = 1
LAST = 65535
#: Codes of an X-ray's field: what is masked within its hull, and what is used; 0 is beyond.
MASKED = 128
USED = 255


@dataclass(frozen=True, eq=False)
class EncodedXRay:
    """An X-ray and its scale.

    Attributes
    ----------
    codes
        Uint16 (rows, columns), each for `pooled` x `pooled` pixels of the X-ray; 0 where it is
        black whatever the window.
    field
        Uint8 (rows, columns), 0, MASKED or USED.
    low, high
        The line integrals of the codes FIRST and LAST.
    """

    codes: np.ndarray
    field: np.ndarray
    pooled: int
    low: float
    high: float

    @classmethod
    def of(cls, view: XRayView, used: XRay | None) -> EncodedXRay:
        """Encode an X-ray with an image.

        Parameters
        ----------
        used
            What is used of it; None where it cannot be.
        """
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
        return cls(codes, field_codes(used, pooled, codes.shape), pooled, low, high)


def field_codes(used: XRay | None, pooled: int, shape: tuple[int, int]) -> np.ndarray:
    """Return the field of an X-ray of this shape once it is pooled, as `EncodedXRay` has it."""
    if used is None:
        return np.zeros(shape, np.uint8)
    return _codes_of(used.pooled(pooled).valid.tobytes(), shape)


@lru_cache(maxsize=8)
def _codes_of(field: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Return the codes of a field, which all frames of a sequence have in common."""
    valid = np.frombuffer(field, bool).reshape(shape)
    return np.where(valid, np.uint8(USED), np.uint8(MASKED) * hull(valid))


def scaled(values: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Encode line integrals between the lowest and the highest of those that are shown; return these, too."""
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    return encoded(values, low, high), low, max(high, low + 1e-3)


def encoded(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Encode line integrals as uint16 of the same shape.

    A code is 0 where they are NaN, the first or the last one beyond the ends of the scale.
    """
    codes = np.subtract(values, low, dtype=np.float32)
    codes *= (LAST - FIRST) / max(high - low, 1e-3)
    codes += FIRST
    np.clip(np.rint(codes, out=codes), FIRST, LAST, out=codes)
    codes[np.isnan(codes)] = 0
    return codes.astype(np.uint16)


@dataclass(eq=False)
class Layer:
    """A DRR, or one of bone alone ("bones"), (rows, columns), NaN where it says nothing.

    Or a "picture" (rows, columns, 4).

    Attributes
    ----------
    factor
        How many pixels of the X-ray one of these is wide.
    stamp
        Another for whatever else is shown.
    pose_stamp
        Of `BrowserDRR`, of the CT in it.
    """

    kind: str
    image: np.ndarray
    factor: int
    stamp: int
    pose_stamp: int
    sharp: bool


class OverlayLayers:
    """The overlays of a session's X-rays, which pages fetch; a `mrml.drawing.Canvas`.

    Attributes
    ----------
    browser
        What pages need that draw by themselves: they need no more from here than a sharp DRR.
    plain
        Whether there is a page that does not: it needs coarse ones while the CT moves, and
        pictures.
    """

    def __init__(self) -> None:
        self.browser = BrowserDRR()
        self.plain = False
        self.tone_matches: dict[str, ToneMatch] = {}
        self._shown: dict[str, Layer] = {}

    def kind(self, mode: str) -> str | None:
        """Return what the server makes for a mode.

        A picture, or a DRR of which the page makes the rest; None for nothing.
        """
        if mode == "off":
            return None
        if mode in ("edges", "colours", "difference") and (self.plain or not self.browser.wanted):
            return overlay.PICTURE
        return overlay.BONES if mode == "edges" else overlay.DRR

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
            self.browser.pose_stamp,
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
