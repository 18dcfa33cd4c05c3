"""Masks without what does not fit at an assessed pose: tools, casts, bones that moved."""

from __future__ import annotations

from ..errors import InputError
from ..mrml.case import SUGGESTED
from ..mrml.loading import add_mask
from . import judging
from .session import Session


def leave_out(session: Session) -> str:
    """Give each X-ray in which something does not fit a mask without that; returns a sentence on what was left out.

    The masks go with the X-rays, and can be edited; one that an X-ray had is still there to choose. A registration with them is at best to
    be checked: at a wrong pose it is the CT that does not fit. InputError where the pose as it is was not assessed, was rejected, or
    where everything fits.
    """
    why, result = judging.outdated(session), session.result
    if why or result is None or result.assessment is None:
        raise InputError(
            f"Mask: {_lower(why or 'This pose was not assessed.')}, expected a pose that was; register, or assess this pose."
        )
    if result.verdict == "reject":
        raise InputError(
            "Mask: this pose was rejected, expected one that is nearly right: of a wrong one it is the CT that does not fit."
        )
    masks = result.suggested_masks()
    if not masks:
        raise InputError(
            "Mask: nothing differs by more than noise explains, expected a tool or something that moved; draw a mask where "
            "you see one."
        )
    valid, told = {view.name: view.xray.valid for view in result.views}, []
    for view in [view for view in session.registration.xrays if view.name in masks]:
        add_mask(view, f"{view.name} without what does not fit", masks[view.name])
        view.mask.SetAttribute(SUGGESTED, "1")
        told.append(f"{100 * (1 - masks[view.name].sum() / valid[view.name].sum()):.0f} % of {view.name}")
    return f"Left out: {', '.join(told)}. Look at the masks, then register again."


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:].rstrip(".")
