"""Whether the X-rays of a registration can be used, and what it still needs before it can begin; cheap enough for a timer."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InputError
from ..mrml import landmarks, manual_pose
from ..mrml.fingerprint import of_view
from ..mrml.image import refresh
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from .inputs import Inputs, twins
from .session import POSELESS_STARTS, REGRESSOR_STARTS, SEARCH_STARTS, Session
from .translation import _

#: Landmarks that a start from them needs, and positions of them in the X-rays.
MIN_LANDMARKS, MIN_POSITIONS = 3, 4


class Readiness:
    """What is wrong with the X-rays of one registration.

    `step`, called from a timer, has one look at one image at a time; what a sequence shows now becomes the picture.

    inputs: of the registration, which make a view's `imaging.xray.XRay`, and know of frames that were shown whole.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._registration, self._inputs = inputs.registration, inputs
        self._made_from: dict[str, tuple[str, int]] = {}  # source and the time of its last change, by the view's node
        self._looked: dict[str, tuple[str, str]] = {}  # fingerprint and what was found, by the view's node

    def step(self) -> bool:
        """Look at one view that has changed; whether there was one."""
        for view in self._registration.xrays:
            changed = self._source_changed(view)
            if not changed and self._looked.get(view.node.GetID(), ("",))[0] == of_view(view):
                continue
            if not self._inputs.is_shown(view):
                self._look_at(view, refresh if changed else self._inputs.xray)
                return True
            self._looked[view.node.GetID()] = of_view(view), ""
        return False

    def of(self, view: XRayView) -> str:
        """What is wrong with a view, a sentence; "" where nothing is, or nobody has looked yet."""
        if view.size == (0, 0):
            return _("{name}: has no image, expected an X-ray; remove it, or add it again.").format(name=view.name)
        try:
            view.camera  # noqa: B018
        except InputError as error:
            return str(error)
        return self._looked.get(view.node.GetID(), ("", ""))[1]

    def twins(self) -> tuple[XRayView, XRayView] | None:
        """Two views that are used and have the same geometry, if there are any."""
        return twins([view for view in self._registration.xrays if view.used and view.placed])

    def _source_changed(self, view: XRayView) -> bool:
        """Whether the volume that a picture was made from is another one now; what it was is remembered from the first look on."""
        source = view.source
        if source is None or source.GetImageData() is None:
            return False
        now, before = (source.GetID(), source.GetImageData().GetMTime()), self._made_from.get(view.node.GetID())
        self._made_from[view.node.GetID()] = now
        return before is not None and before != now

    def _look_at(self, view: XRayView, look: Callable[[XRayView], object]) -> None:
        try:
            look(view)
            trouble = ""
        except InputError as error:
            trouble = str(error)
        self._looked[view.node.GetID()] = of_view(view), trouble


def missing_inputs(session: Session) -> str:
    """What to do before a registration can begin, in a sentence; "" where it can, as far as can be seen without looking at voxels."""
    registration = session.registration
    return missing_images(registration) or missing_at_start(session, registration.start, registration.refinement)


def missing_images(registration: Registration) -> str:
    """Of that, what concerns the CT and the X-rays, whatever the start; a regressor is trained for them, too."""
    if registration.ct is None:
        return _("Choose a CT first.")
    views = [view for view in registration.xrays if view.used]
    if not views:
        return _("Add an X-ray first, better two, or use one that is skipped.")
    try:
        same = twins(views)
    except InputError as error:
        return str(error)
    if same:
        return _("{one} and {other} have the same geometry: correct that of one, or skip it.").format(
            one=same[0].name, other=same[1].name
        )
    return ""


def missing_at_start(session: Session, start: str, refinement: str = "joint") -> str:
    """Of that, what concerns the start alone."""
    registration = session.registration
    if start in REGRESSOR_STARTS and session.regressors.missing():
        return session.regressors.missing()
    if start in SEARCH_STARTS and refinement != "joint":
        return _(
            'The refinement "{refinement}" needs a pose to begin with: choose a start that does not search, or the refinement "joint".'
        ).format(refinement=refinement)
    if start == "landmarks":
        return _missing_landmarks(registration)
    if (
        start not in POSELESS_STARTS
        and any(view.used and view.placed for view in registration.xrays)
        and not manual_pose.ct_is_seen(registration)
    ):
        return _("The CT lies outside all X-rays: centre it there, or move it.")
    return ""


def _missing_landmarks(registration: Registration) -> str:
    """A landmark in the CT counts once for each X-ray that shows it."""
    in_ct, *in_xrays = landmarks.clicked(registration).values()
    pairs = [label for labels in in_xrays for label in labels if label in in_ct]
    count = len(set(pairs))
    if count >= MIN_LANDMARKS and len(pairs) >= MIN_POSITIONS:
        return ""
    so_far = _("none so far")
    if len(pairs) == 1:
        so_far = _("1 so far, with 1 position")
    elif pairs:
        so_far = _("{count} so far, with {positions} positions").format(count=count, positions=len(pairs))
    return _(
        "Click four landmarks in the CT and in an X-ray, or three of which one is in two X-rays; {so_far}."
    ).format(so_far=so_far)
