"""What has a pose of its own: bodies, and the structures of a CT.

Structures are of one CT, from a label volume, a DICOM segmentation, or masks, or each has a CT of
its own.
"""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy

from ..errors import InputError
from .ct import BONE_HU, CT, masked

if TYPE_CHECKING:
    from .bone_names import Contradiction

#: The name in results of a patient's CT, which has none of its own.
WHOLE = "CT"
MAX_STRUCTURES = 255  # they are numbered in bytes
MAX_NAME_LENGTH = 80
NOT_IN_FILE_NAMES = '/\\:*?"<>|'  # a name becomes part of a file's, on Windows too
MAX_LABEL = 65535
#: Neighbours in a list are as far apart in hue as this share of the hues (the golden section);
#: these leave red to what does not fit.
HUE_STEP = 0.381966
HUES = (0.09, 0.92)


@dataclass(frozen=True, eq=False)
class Structures:
    """The structures of a CT.

    Attributes
    ----------
    names
        One for each structure.
    labels
        uint8 (nk, nj, ni) on the CT's grid: n + 1 in structure n, 0 elsewhere.
    terminology
        What each is, see `Segment`; none where nothing says so.
    numbered
        As of `Segmentation`.
    contradictions
        Of their names, by where they lie.
    """

    names: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    terminology: tuple[str, ...] = ()
    numbered: bool = False
    contradictions: tuple[Contradiction, ...] = ()

    @cached_property
    def boxes(self) -> list[tuple[slice, slice, slice]]:
        """The part (k, j, i) of the grid that holds each structure."""
        count = len(self.names)
        return scipy.ndimage.find_objects(self.labels, count) if count else []

    def mask(self, n: int) -> np.ndarray:
        """Return bool (nk, nj, ni), True in structure n."""
        return self.labels == n + 1


NO_STRUCTURES = Structures((), np.zeros((0, 0, 0), np.uint8))


@dataclass(frozen=True)
class StructureSource:
    """Where a structure comes from.

    Attributes
    ----------
    name
        Of the structure; without a label and a mask that of its segment.
    label
        Its value in the label volume, or its segment number in a DICOM segmentation.
    mask
        An image of its own, other than 0 where the structure is.
    """

    name: str
    label: int | None = None
    mask: Path | None = None


def bone_of_ct(ct: CT, name: str | Path) -> CT:
    """Return the bone of a CT that shows nothing else.

    `name` begins the sentence where something is wrong.
    """
    if ct.unit != "hu" or ct.mask is not None:
        return ct
    if not (ct.volume.values > BONE_HU).any():
        raise InputError(
            f"{name}: has nothing above {BONE_HU:g} HU, expected a bone; set ct_unit to relative "
            "if the values are not in HU."
        )
    return masked(ct, ct.volume.values > BONE_HU, name)


def colour_of(
    n: int, lightness: float = 0.6, saturation: float = 0.9
) -> tuple[float, float, float]:
    """Return the colour of the n-th structure of a list, red, green, blue from 0 to 1."""
    return colorsys.hls_to_rgb(
        HUES[0] + (HUES[1] - HUES[0]) * (n * HUE_STEP % 1), lightness, saturation
    )


def fits_file_names(name: str) -> bool:
    """Return whether a name can be part of a file's."""
    return (
        0 < len(name) <= MAX_NAME_LENGTH
        and not set(name) & set(NOT_IN_FILE_NAMES)
        and name == name.strip(" .")
    )


def check_names(names: Sequence[str]) -> None:
    """Check the names of all structures.

    Raises
    ------
    InputError
        For too many, two that differ in case alone, WHOLE among them, and one that cannot be part of a file's
        name.
    """
    if len(names) > MAX_STRUCTURES:
        raise InputError(
            f"structures: found {len(names)}, expected fewer; choose at most {MAX_STRUCTURES} of "
            "them by name."
        )
    known = {WHOLE.casefold(): WHOLE}
    for name in names:
        if not fits_file_names(name):
            raise InputError(
                f'structures: found the name "{name[: MAX_NAME_LENGTH + 1]}", expected at most {MAX_NAME_LENGTH} characters without '
                f"{NOT_IN_FILE_NAMES} and no space or dot at an end; rename it, as files get its "
                "name."
            )
        other = known.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if other is not name:
            raise InputError(
                f'structures: found the name "{name}" twice, expected a name of its own for each, '
                f"{WHOLE} being that of the whole CT; rename or remove one."
            )


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
    asked
        The name of that bone whose pose is asked for, what a mask holds; "" where all are.
    """

    ct: CT
    name: str = ""
    world_from_ct: np.ndarray | None = field(default=None, repr=False)
    uid: str = ""
    bones: Structures = NO_STRUCTURES
    asked: str = ""

    @property
    def apart(self) -> bool:
        """Whether it is a bone, or an implant, that its CT shows alone."""
        return bool(self.name)

    @property
    def title(self) -> str:
        """Its name in results."""
        return self.name or WHOLE

    @property
    def bone_names(self) -> tuple[str, ...]:
        """The names of the bones that have a pose of their own: its own as a bone, or those of its bones."""
        return (self.name,) if self.name else self.bones.names

    def with_mask_as_bone(self) -> Body:
        """Return the whole CT, with what its mask holds as a bone of it."""
        mask = self.ct.mask
        assert mask is not None
        bones = Structures((MASKED,), (mask != 0).astype(np.uint8))
        return replace(self, ct=replace(self.ct, mask=None), bones=bones, asked=MASKED)
