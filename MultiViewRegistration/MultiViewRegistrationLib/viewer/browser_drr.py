"""What a page needs to draw the DRR by itself.

The CT as a texture, its pose, and the X-rays' cameras (browser/xray/drr.js).
"""

from __future__ import annotations

from itertools import count

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..io.files import plain
from ..mrml import manual_pose
from ..mrml.bones import bones_of, chosen_bone
from ..mrml.registration import Registration
from ..registration.prepared_ct import PreparedCT
from ..rendering import cpu, drr
from ..rendering.texture import Texture
from ..session.tasks import BackgroundValue

#: Bytes of the texture in an answer at most, so that no other answer waits long for it.
PART_BYTES = 1 << 20
#: No translation of a pose is larger, in mm.
MAX_MM = 1e5
_stamps = count(1)


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
    pose_stamp, bone_stamp
        Another one, and a larger one, for whatever other pose.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.pose_stamp = next(_stamps)
        self.bone_stamp = next(_stamps)
        self._texture = BackgroundValue()
        self._stamp = 0
        self.pose: dict | None = None
        self.bone: dict | None = None

    def update(self, anatomy: PreparedCT | None, registration: Registration) -> None:
        """Follow the CT and its pose; call it from a timer, and after each movement."""
        pose = None if anatomy is None else _pose_state(registration)
        if pose != self.pose:
            self.pose = pose
            self.pose_stamp = next(_stamps)
        bone = _bone_state(registration)
        if bone != self.bone:
            self.bone = bone
            self.bone_stamp = next(_stamps)
        if self.wanted and self._texture.update(
            anatomy, lambda: anatomy.texture if anatomy is not None else None
        ):
            self._stamp = next(_stamps)

    @property
    def state(self) -> dict | None:
        """All of the texture but its voxels; None before there is one."""
        texture: Texture | None = self._texture.value
        if texture is None:
            return None
        axes = texture.ct_from_texel[:3, :3] / rigid.steps(texture.ct_from_texel)
        state = {
            "stamp": self._stamp,
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
        return plain(state)

    def part(self, stamp: int, first: int) -> dict:
        """Return slices of a texture from the first on, as many as PART_BYTES allow.

        None of one no longer there.

        With number 0 come its bone_ends.
        """
        texture = self._texture.value
        if texture is None or stamp != self._stamp or not 0 <= first < len(texture.values):
            return {"slices": 0}
        slices = texture.values[first : first + max(PART_BYTES // texture.values[0].size, 1)]
        ends = {} if first else {"bone_ends": texture.bone_ends.tobytes()}
        return {"slices": len(slices), "voxels": slices.tobytes(), **ends}


def camera_state(camera: Camera) -> dict:
    """Return a camera as the page draws and moves with it.

    All of `geometry.camera.Camera` that rays and `mrml.manual_pose` need.
    """
    state = {
        "stamp": next(_stamps),
        "source": camera.sources(np.zeros(2)),
        "step": camera.source_step,
        "rays": camera.ray_matrix,
        "forms": camera.linear_forms,
        "axes": camera.camera_from_world[:3, :3],
        "mirrored": np.sign(camera.intrinsics[0, 0]),
    }
    return plain(state)


def _pose_state(registration: Registration) -> dict | None:
    try:
        centre = manual_pose.centre_in_ct(registration)
    except InputError:
        return None
    return {"world_from_ct": registration.world_from_ct.tolist(), "centre": centre.tolist()}


def _bone_state(registration: Registration) -> dict | None:
    bone = bones_of(registration).get(chosen_bone(registration))
    if bone is None:
        return None
    pose = bone.world_from_ct.tolist()
    centre = bone.centre_in_ct.tolist()
    return {"name": bone.name, "world_from_ct": pose, "centre": centre}


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
