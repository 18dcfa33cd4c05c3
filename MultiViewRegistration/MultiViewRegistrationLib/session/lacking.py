"""What a registration still lacks, in words, before it is asked for. It is looked at often, so voxels are not."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..errors import InputError
from ..mrml import landmarks, manual_pose
from ..mrml.registration import Registration
from .session import POSELESS_STARTS, REGRESSOR_STARTS, SEARCH_STARTS, Session

#: Landmarks that a start from them needs, and positions of them in the X-rays.
LANDMARKS, POSITIONS = 3, 4


def lacking(session: Session) -> str:
    """What to do before a registration can begin, in a sentence; "" where it can, as far as can be seen without looking at voxels."""
    registration = session.registration
    return inputs(registration) or at_start(session, registration.start, registration.refinement)


def inputs(registration: Registration) -> str:
    """Of that, what concerns the CT and the X-rays, whatever the start; a regressor is trained for them, too."""
    if registration.ct is None:
        return "Choose a CT first."
    views = [view for view in registration.xrays if view.used]
    if not views:
        return "Add an X-ray first, better two, or use one that is skipped."
    try:
        _ = [view.camera for view in views]
    except InputError as error:
        return str(error)
    for a, b in combinations(views, 2):
        if np.allclose(a.camera.projection_matrix, b.camera.projection_matrix):
            return f"{a.name} and {b.name} have the same geometry: correct that of one, or skip it."
    return ""


def at_start(session: Session, start: str, refinement: str = "joint") -> str:
    """Of that, what concerns the start alone."""
    registration = session.registration
    if start in REGRESSOR_STARTS and session.regressors.missing():
        return session.regressors.missing()
    if start in SEARCH_STARTS and refinement != "joint":
        return f'The refinement "{refinement}" needs a pose to begin with: choose a start that does not search, or the refinement "joint".'
    if start == "landmarks":
        return _landmarks_lacking(registration)
    if (
        start not in POSELESS_STARTS
        and any(view.used and view.placed for view in registration.xrays)
        and not manual_pose.ct_is_seen(registration)
    ):
        return "The CT lies outside all X-rays: centre it there, or move it."
    return ""


def _landmarks_lacking(registration) -> str:
    """A landmark in the CT counts once for each X-ray that shows it."""
    in_ct, *in_xrays = landmarks.clicked(registration).values()
    pairs = [label for labels in in_xrays for label in labels if label in in_ct]
    if len(set(pairs)) >= LANDMARKS and len(pairs) >= POSITIONS:
        return ""
    so_far = (
        f"{len(set(pairs))} so far, with {len(pairs)} {'position' if len(pairs) == 1 else 'positions'}"
        if pairs
        else "none so far"
    )
    return f"Click four landmarks in the CT and in an X-ray, or three of which one is in two X-rays; {so_far}."
