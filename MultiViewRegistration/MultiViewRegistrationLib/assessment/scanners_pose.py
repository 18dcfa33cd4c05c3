"""Whether the localizers of a CT show it where the scanner's frame of reference has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import InputError
from ..imaging.xray import View
from ..registration.objective import PoseFit
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from .hypotheses import MIN_EVIDENCE_GAIN, TURNS, turned_back

#: Local NCC at the scanner's pose: of a head's scouts 0.70 and 0.74, of the same 6 mm away 0.08 and
#: 0.16 (docs/scouts.md).
LEAST_NCC = 0.3
TURNED_NCC = 0.6


def misfits(anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray) -> list[str]:
    """Return a sentence for each view that does not show the CT at the scanner's pose (4, 4).

    Raises
    ------
    InputError
        For a view that shows it once its image is mirrored or turned back.
    """
    sentences = []
    for view in views:
        fit = anatomy.fit([view], world_from_ct, world_from_ct)
        if fit.shown[0] < MIN_PIXELS:
            sentences.append(
                f"{view.name} shows hardly anything of the CT where the scanner has it."
            )
            continue
        turned = {words: _fit(anatomy, view, world_from_ct, back) for words, back in TURNS.values()}
        words, best = max(turned.items(), key=lambda each: each[1].evidence if each[1] else 0.0)
        if (
            best
            and best.min_similarity > TURNED_NCC
            and best.evidence > MIN_EVIDENCE_GAIN * fit.evidence
        ):
            raise InputError(
                f"{view.name}: its image is {words} against its header, expected it as the scanner "
                "stored it: turned back, it shows the CT where the scanner has it; export it "
                "again."
            )
        if fit.min_similarity < LEAST_NCC:
            sentences.append(
                f"{view.name} does not show the CT where the scanner has it (local NCC "
                f"{fit.min_similarity:.2f}): the patient moved, or it is of another patient or "
                "part, cropped, mirrored or turned."
            )
    return sentences


def _fit(
    anatomy: PreparedCT, view: View, pose: np.ndarray, back: Callable[[np.ndarray], np.ndarray]
) -> PoseFit | None:
    """Return the fit of a view whose image is turned back; None where that has another size."""
    turned = turned_back(view, back)
    return None if turned is None else anatomy.fit([turned], pose, pose)
