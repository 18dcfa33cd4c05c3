"""The scouts (localizers) of a CT that lie in its DICOM folder: found and read with it, and added as X-rays on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ..errors import InputError
from ..io.dicom_identity import frame_of_reference
from ..io.files import home_of
from ..io.localizer import Study, find_study
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from . import adding
from .translation import _

#: Files in the folder above that of the slices up to which scouts are looked for there.
MAX_FILES = 4000


@dataclass(frozen=True)
class Scouts:
    """The scouts of one CT.

    Attributes
    ----------
    add
        By their names, functions that add each to a registration, see `adding.read`.
    left_out
        Why others are not used, a sentence each.
    """

    add: dict[str, Callable[[Registration], list[XRayView]]]
    left_out: list[str]

    def missing_in(self, registration: Registration) -> list[str]:
        """Return the names of the scouts that a registration has not got."""
        there = {view.content.get("scout") for view in registration.xrays}
        return [name for name in self.add if name not in there]

    def add_to(self, registration: Registration) -> list[XRayView]:
        """Add the scouts that a registration has not got.

        Raises
        ------
        InputError
            Where it has X-rays in a world of their own, and as `adding.read`.
        """
        elsewhere = [view.name for view in registration.xrays if view.placed and "localizer" not in view.content]
        if elsewhere:
            raise InputError(
                _(
                    "X-rays: {name} has a world of its own, and the scouts of a CT lie in the scanner's; remove {name}, or begin "
                    "another registration."
                ).format(name=elsewhere[0])
            )
        views = []
        for name in self.missing_in(registration):
            views += self.add[name](registration)
            views[-1].change(scout=name)
        return views


def read_scouts(ct_slice: Path) -> Scouts | None:
    """Return the scouts of a CT, by one of its slices: in their folder and below it, else in the folders beside it.

    None where there are none.

    Of files that were sent, nowhere else than among these.
    """
    folder, within = ct_slice.parent, home_of(ct_slice)
    study = _study(folder, ct_slice)
    if study is None and (within is None or within in (folder.parent, *folder.parent.parents)):
        study = _study(folder.parent, ct_slice)
    if study is None:
        return None
    read = {name: _read(name, path) for name, path in study.localizers.items()}
    problems = [problem for problem in read.values() if isinstance(problem, str)]
    told = replace(study, other_series=[])
    return Scouts({name: add for name, add in read.items() if not isinstance(add, str)}, [*problems, *told.left_out])


def _read(name: str, path: Path) -> Callable[[Registration], list[XRayView]] | str:
    """Return what adds a scout, or the problem with it."""
    try:
        return adding.read(path, name)
    except InputError as error:
        return str(error)


def _study(folder: Path, ct_slice: Path) -> Study | None:
    """Return what a folder holds of the examination of a CT with localizers; None for anything else, and for too many files."""
    if next(islice(folder.rglob("*"), MAX_FILES, None), None) is not None:
        return None
    try:
        study = find_study(folder)
    except InputError:
        return None
    return study if study.localizers and frame_of_reference(study.ct) == frame_of_reference(ct_slice) else None
