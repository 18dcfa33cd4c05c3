"""What is drawn of a session's CT and bones, each at its own pose."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..mrml.ct_3d import Places, places_of
from .tasks import BackgroundValue

if TYPE_CHECKING:
    from ..registration.prepared_ct import PreparedCT
    from .session import Session


class Parts:
    """The CT without the bones that have a pose, and these, made in a thread; `update` follows the scene."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._made = BackgroundValue()
        self._of: tuple = ()

    def update(self, of_bones: str) -> None:
        """Call it from a timer, with the fingerprint of what bones are made of; "" without any."""
        self._of = self._session.anatomy, of_bones
        if of_bones:
            self._made.update(self._of, self._begin)

    @property
    def now(self) -> dict[str, Any]:
        """See `parts_of`; the CT in one piece before they are made, and nothing without one."""
        anatomy = self._session.anatomy
        whole = {} if anatomy is None else {"": anatomy}
        return self._made.value_of(self._of) or whole

    @property
    def places(self) -> Places:
        """Where these lie in the scene: bones of the CT that have no pose lie as it does."""
        registration = self._session.registration
        return dict.fromkeys(self.now, registration.world_from_ct) | places_of(registration)

    @property
    def placed(self) -> tuple[PreparedCT, np.ndarray] | None:
        """The parts where they lie in the scene, see `bone.placed`; None without any."""
        parts = self.now
        if not parts:  # without a CT that was prepared packages may be missing, too
            return None
        from ..registration.bone import placed  # what that imports takes a while

        return placed(parts, self.places)

    def _begin(self) -> Callable[[], dict[str, Any]] | None:
        from ..registration.bone import parts_of

        session = self._session
        anatomy, _of = self._of
        return anatomy and partial(parts_of, session.bodies(), anatomy, session.bones.names)
