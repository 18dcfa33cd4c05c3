"""What a page needs to draw the DRR by itself.

CT and bones as textures, their poses, and the X-rays' cameras (browser/xray/graphics.js).
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..io.files import plain
from ..mrml import manual_pose
from ..mrml.bones import moved_bone
from ..mrml.registration import Registration
from ..rendering import cpu, drr
from ..rendering.texture import Texture
from ..session.parts import Parts
from ..session.tasks import BackgroundValue

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
