"""What has a pose of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .ct import CT
from .structures import NO_STRUCTURES, Structures

#: The name of what a CT's mask holds, in sentences.
MASKED = "the structure"


@dataclass(frozen=True, eq=False)
class Body:
    """A CT with a pose of its own, and its bones, where each of these has one, too.

    Attributes
    ----------
    ct
        Of a bone in Hounsfield units its mask has all that is as dense as bone.
    name
        Of a bone with a CT to itself; "" of a patient's CT.
    world_from_ct
        (4, 4) start pose, if there is one.
    uid
        FrameOfReferenceUID of the CT, or one of its own where it is no DICOM.
    bones
        Those that have a pose of their own; none where the CT, or its mask, is registered as one.
    """

    ct: CT
    name: str = ""
    world_from_ct: np.ndarray | None = field(default=None, repr=False)
    uid: str = ""
    bones: Structures = NO_STRUCTURES

    @property
    def bone_names(self) -> tuple[str, ...]:
        """The names of the bones that have a pose of their own: its own as a bone, or those of its bones."""
        return (self.name,) if self.name else self.bones.names

    def with_mask_as_bone(self) -> Body:
        """Return the whole CT, with what its mask holds as a bone of it."""
        mask = self.ct.mask
        assert mask is not None
        bones = Structures((MASKED,), (mask != 0).astype(np.uint8))
        return replace(self, ct=replace(self.ct, mask=None), bones=bones)
