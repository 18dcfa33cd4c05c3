"""Check that X-rays show a CT where its scanner has it, for scouts and other scans of one session."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..imaging.xray import View
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from .faults import MIN_EVIDENCE_GAIN, TURNS

#: Displacements of the CT along both axes of an image with which the scanner's pose is compared.
DISPLACED_MM = (10.0, 20.0)
#: Smallest ratio of the local NCC at the scanner's pose to the largest when displaced: 1.4 to 3.3 for two
#: scouts each of a head and of a lumbar spine (edge-enhanced, local NCC 0.19 to 0.27); below 1.2 for
#: 126 of 130 with CTs of other patients.
MIN_NCC_RATIO = 1.2
#: Smallest local NCC of an image turned back that proves that it was turned.
TURNED_NCC = 0.6


def misfits(anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray) -> list[str]:
    """Return a message for each view that does not show the CT at the scanner's pose (4, 4).

    Raises
    ------
    InputError
        If a view shows it once its image is mirrored or turned back.
    """
    messages = []
    for view in views:
        fit = anatomy.fit([view], world_from_ct, world_from_ct)
        if fit.shown[0] < MIN_PIXELS:
            messages.append(
                f"{view.name} shows hardly anything of the CT where the scanner has it."
            )
            continue
        turned = [(words, view.turned(turn_back)) for words, turn_back in TURNS.values()]
        fits = {
            words: anatomy.fit([candidate], world_from_ct, world_from_ct)
            for words, candidate in turned
            if candidate
        }
        words = max(fits, key=lambda words: fits[words].evidence)
        is_better = fits[words].evidence > MIN_EVIDENCE_GAIN * fit.evidence
        if is_better and fits[words].min_similarity > TURNED_NCC:
            raise InputError(
                f"{view.name}: the image is {words} against its header, since it shows the CT where "
                "the scanner has it only when turned back. Export it again as the scanner stored it."
            )
        displaced = _best_displaced_ncc(anatomy, view, world_from_ct)
        if fit.min_similarity < MIN_NCC_RATIO * displaced:
            messages.append(
                f"{view.name} does not show the CT where the scanner has it (local NCC "
                f"{fit.min_similarity:.2f}; displaced by 10 or 20 mm up to {displaced:.2f}). The "
                "patient moved, or the image is of another patient or part, cropped, mirrored or "
                "turned."
            )
    return messages


def _best_displaced_ncc(anatomy: PreparedCT, view: View, world_from_ct: np.ndarray) -> float:
    """Return the largest local NCC of a view with the CT displaced along the axes of its image, 0 at least."""
    axes = view.camera.camera_from_world[:2, :3]
    shifts = [sign * mm * axis for mm in DISPLACED_MM for axis in axes for sign in (1, -1)]
    poses = [rigid.translation(shift) @ world_from_ct for shift in shifts]
    return max(0.0, *(anatomy.fit([view], pose, pose).min_similarity for pose in poses))
