"""A registration under way: what a thread does, what it began from, and what in the scene stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from ..io.case import Case
from ..jobs import TimeLeft, left_in_words
from ..mrml.identity import body_fingerprint, fingerprint
from ..mrml.registration import CT_TRANSFORM, Registration
from .inputs import PREPARING
from .tasks import Task
from .translation import _

if TYPE_CHECKING:
    from ..registration.pipeline import Progress
    from ..registration.prepared_ct import PreparedCT
    from ..report.result import Result

#: The start of `api.register` where it has another name: a pose that a person set is a given one.
API_START = {"by hand": "given"}


def register_case(
    case: Case,
    anatomy: PreparedCT,
    start: str,
    refinement: str,
    seed: int,
    model: Path | None,
    on_progress: Callable,
) -> Result:
    """Return the `result.Result` of a case from a start, refined by "joint" or a published method.

    Parameters
    ----------
    model
        The folder of the regressor, for a start that uses one; without it, the newest of the store.

    Raises
    ------
    InputError
        Where it fails.
    """
    from ..api import register

    device = "cpu" if refinement == "joint" else "auto"  # of torch
    result = register(
        case, API_START.get(start, start), on_progress, anatomy, seed, refinement, device, model
    )
    return replace(result, method=start)


def write_child_case(case: Case, world_from_ct: np.ndarray | None, folder: str) -> Path:
    """Return the path of a case.json with what a child needs of a case.

    Its CT, its X-rays as line integrals, how far to search, a start pose.
    """
    from ..geometry.fields import UNCERTAINTY
    from ..imaging.xray import raw_image
    from ..io.case_writer import write_case

    views = [
        {
            "name": view.name,
            "camera": view.camera.to_json(),
            "intensity": "log",
            **{key: getattr(view, key) for key in UNCERTAINTY},
        }
        for view in case.views
    ]
    placed = {} if world_from_ct is None else {"world_from_ct": world_from_ct}
    return write_case(
        folder,
        {"version": 1, "views": views, "search": case.search, **placed},
        case.ct,
        {view.name: raw_image(view.xray.line_integrals, view.xray.pixel_mm) for view in case.views},
        {view.name: view.xray.valid for view in case.views},
    )


class RunningRegistration:
    """One registration from the pose and the inputs that the scene has now.

    Parameters
    ----------
    start
        One of session.STARTS.
    refinement
        "joint" or a published one.
    task
        Does it.
    preparing
        Gives what the CT is being made ready by, in words.
    warnings
        From before it began.

    Attributes
    ----------
    fingerprint, of_body, geometry
        Of the inputs: of all, of all but the bones, and by the view's name.
    progress
        The last `registration.pipeline.Progress`, None before the first.
    left
        The time, in words.
    """

    def __init__(
        self,
        registration: Registration,
        start: str,
        refinement: str,
        task: Task[tuple[Result, float]],
        preparing: Callable[[], str],
        warnings: list[str],
    ) -> None:
        self._registration, self.start, self.refinement = registration, start, refinement
        self.task, self._preparing, self.warnings = task, preparing, warnings
        self.fingerprint = fingerprint(registration)
        self.of_body = body_fingerprint(registration)
        self.geometry = {view.name: view.record.geometry_fingerprint for view in registration.xrays}
        self.progress: Progress | None = None
        self.left, self._time_left = "", TimeLeft()
        self._before = self._shown = registration.world_from_ct
        #: The nodes without which there is nothing to register, or nothing to show it on, by what
        #: they are.
        self._needed = {
            _("the CT"): registration.ct,
            _("the CT's transform"): registration.node.GetNodeReference(CT_TRANSFORM),
            **{view.name: view.node for view in registration.used_xrays},
        }
        self._began = monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return monotonic() - self._began

    @property
    def stage(self) -> str:
        """The stage, in a few words."""
        return self.progress.stage if self.progress else self._preparing() or PREPARING

    def show(self, progress: Progress) -> None:
        """Take the CT to the pose of a step."""
        self.progress = progress
        self.left = left_in_words(self._time_left.seconds(progress.fraction))
        self._registration.world_from_ct = self._shown = progress.world_from_ct

    def obstacle(self) -> str:
        """Return why it makes no sense to go on, a sentence; "" while it does."""
        registration = self._registration
        there = [registration.ct, registration.node.GetNodeReference(CT_TRANSFORM)]
        there += [view.node for view in registration.xrays]
        lost = next(
            (
                what
                for what, node in self._needed.items()
                if not any(node is other for other in there)
            ),
            None,
        )
        if lost:
            return _("The registration was stopped, as {what} was removed or replaced.").format(
                what=lost
            )
        return _("The registration was stopped, as the CT was moved.") if self._moved() else ""

    def put_back(self) -> None:
        """Take the CT back to where it was, unless it was moved by others, or is there no more."""
        if self._registration.scene is not None and not self.obstacle():
            self._registration.world_from_ct = self._shown = self._before

    @contextmanager
    def as_before(self) -> Iterator[None]:
        """Put the CT meanwhile where it was, unless it was moved by others."""
        if self.obstacle():
            yield
            return
        self._registration.world_from_ct = self._before
        try:
            yield
        finally:
            self._registration.world_from_ct = self._shown

    def _moved(self) -> bool:
        return not np.allclose(self._shown, self._registration.world_from_ct, rtol=0, atol=1e-6)
