"""Frames of the same views, one after another: a case for each, the frames of a case's multi-frame images, or lists of images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..imaging.view import View
from .case import Case, in_field, views_of, xray_of
from .case_file import CaseFile
from .fields import shown
from .files import sha256
from .frame_files import FrameFiles


@dataclass(frozen=True, eq=False)
class Frame:
    """What there is of one frame.   given: (4, 4) a start pose, where the frame has a case of its own that has one."""

    views: list[View]
    given: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class FrameSequence:
    """Frames that are loaded when they are asked for.

    The images of one case share the first ones' fields, shutters and masks: to seek those takes longer than to follow a structure.

    first: the first frame with all else that its case says.   files: where the frames are.
    truths: (4, 4) world_from_ct by the number of the frame, where its case has one; only ever read to report errors.
    """

    first: Case
    files: FrameFiles
    truths: dict[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def names(self) -> list[str]:
        """Of the frames, from their files."""
        return self.files.names

    def load(self, number: int) -> Frame:
        """A frame, from 0. InputError where an image of it cannot be read, or shows nothing."""
        if number == 0:
            return Frame(self.first.views, self.first.world_from_ct)
        return self.read(number)

    def read(self, number: int) -> Frame:
        """The same from its files, also of the first frame. Views that the first has not are left out."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said of the first frame
            file, known = self.files.file(number), {view.name: view.xray.valid for view in self.first.views}
            entries = [view for view in file.views if view.name in known]
            if self.files.own_cases:
                xrays = [xray_of(file, view) for view in entries]
            else:
                xrays = [in_field(view, known[view.name]) for view in entries]
            views = views_of(shown(file.path), entries, xrays, self.first.ct, file.world_from_ct)
        return Frame(views, file.world_from_ct if self.files.own_cases else None)

    @classmethod
    def of_cases(cls, paths: Sequence[Path]) -> FrameSequence:
        """A case for each frame. InputError where one has another CT, or other views, than the first."""
        first = Case.load(paths[0])
        views, hashed, truths = list(first.cameras), {}, [first.truth_world_from_ct]
        for path in paths[1:]:
            file = CaseFile.read(path)
            if [view.name for view in file.views] != views:
                raise InputError(
                    f"{shown(file.path)}: has the views {', '.join(view.name for view in file.views)}, expected those of the "
                    f"first frame, {', '.join(views)}; give cases of the same views."
                )
            if _anatomy(file, hashed) != first.anatomy_key:
                raise InputError(
                    f"{shown(file.path)}: names another CT or mask than the first frame, expected the same; give cases of one "
                    "structure."
                )
            truths.append(file.truth_world_from_ct)
        known = {number: truth for number, truth in enumerate(truths) if truth is not None}
        return cls(first, FrameFiles.of_cases(paths), known)

    @classmethod
    def of_images(cls, path: Path, images: Mapping[str, Sequence[Path]] | None = None) -> FrameSequence:
        """The frames of a case, see `FrameFiles.of_images`, also for the errors."""
        files = FrameFiles.of_images(path, images)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said above
            first = Case.of(files.file(0))
        truth = first.truth_world_from_ct
        return cls(first, files, {} if truth is None else {0: truth})


def _anatomy(file: CaseFile, hashed: dict[Path, str]) -> tuple:
    """As `Case.anatomy_key`.   hashed: what is known already, by path."""
    for part in filter(None, (file.ct, file.mask)):
        if part.path.resolve() not in hashed:
            hashed[part.path.resolve()] = sha256(part.path)
    return hashed[file.ct.path.resolve()], file.ct_unit, file.mask and hashed[file.mask.path.resolve()]
