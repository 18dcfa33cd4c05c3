"""The registration of a new case without a click."""

from __future__ import annotations

from ..mrml import manual_pose
from ..mrml.registration import Registration
from .registering import RunningRegistration
from .session import Session, missing_inputs

#: X-rays that a case needs to be registered without being asked: one leaves the depth along its
#: beam open.
MIN_XRAYS = 2
#: Starts that need nothing more from a person.
UNATTENDED_STARTS = ("given", "search")


class AutomaticRegistration:
    """Centres and registers a new case once it is complete, and once more where an X-ray was added.

    A case is new while its history is empty, or holds nothing but what was done here. Once a person
    has cancelled, undone, moved the CT or registered, it is left alone for good.

    Parameters
    ----------
    session
        Its session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._done: set[tuple] = set()  # the inputs that were registered, or could not be
        self._run: RunningRegistration | None = None
        self._left = (
            None if session.history.entries else _place(session)
        )  # the history as it was left; None for good

    def may_begin(self) -> bool:
        """Return whether there is a new case with new and complete inputs; call it from a timer.

        Ends a run of its own that lacks an X-ray.
        """
        session = self._session
        if self._run is not None and self._run is not session.running_registration:
            self._run, self._left = None, _place(session) if session.ended == "done" else None
        if self._left is None or session.sequence.player is not None:
            return False
        if self._run is None and (
            session.running_registration is not None or _place(session) != self._left
        ):
            self._left = None
            return False
        if self._run is None and session.running:
            return False
        inputs = _inputs(session.registration)
        if (
            inputs in self._done
            or session.registration.start not in UNATTENDED_STARTS
            or not _complete(session)
        ):
            return False
        if self._run is not None:
            session.cancel()
            session.ended, self._run, self._left = "", None, _place(session)
        return True

    def begin(self) -> None:
        """Centre the CT where it was never placed, and register.

        Raises
        ------
        InputError
            As `Session.register`.
        """
        session, registration = self._session, self._session.registration
        self._done.add(_inputs(registration))
        if (
            not session.history.entries
            and registration.start == "search"
            and not manual_pose.centre_is_seen(registration)
        ):
            session.centre()
        session.register(registration.start)
        self._run = session.running_registration


def _place(session: Session) -> tuple:
    """Return where a session's history is, and whether the CT lies there."""
    history = session.history
    return len(history.entries), history.position, bool(history.entries) and history.moved


def _inputs(registration: Registration) -> tuple:
    """Return the CT, the structure in it, and the X-rays that are used."""
    nodes = [
        registration.ct,
        registration.segmentation,
        *(view.node for view in registration.used_xrays),
    ]
    return registration.segment_id, *(node and node.GetID() for node in nodes)


def _complete(session: Session) -> bool:
    used = session.registration.used_xrays
    if len(used) < MIN_XRAYS or any(not view.placed or session.problem(view) for view in used):
        return False
    return not missing_inputs(session)
