"""Frames of the same views, one after another.

A case for each, multi-frame images, or lists of images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, filterfalse
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, collect_warnings, warn
from ..imaging.xray import View, count_frames
from .case import Case, in_field, views_of, xray_of
from .case_file import CaseFile, case_name
from .dicom_identity import mismatches_of
from .files import (
    JsonObject,
    check_within_upload,
    image_sha256,
    printable,
    read_json,
    relative_path,
)


@dataclass(frozen=True, eq=False)
class FrameFiles:
    """The case.json entries of each frame; an image is read on first use.

    Attributes
    ----------
    cases
        The one case.json, or one for each frame.
    names
        The frames, from their files.
    images
        Of each view of the one case a file for each frame; empty where these are frames of its own
        images.
    """

    cases: tuple[Path, ...]
    names: list[str]
    images: dict[str, tuple[Path, ...]]
    _files: list[Callable[[], CaseFile]]

    def __len__(self) -> int:
        return len(self.names)

    def file(self, number: int) -> CaseFile:
        """Return the case file of a frame, from 0.

        Raises
        ------
        InputError
            Where its case.json cannot be read.
        """
        return self._files[number]()

    def without_folders(self, number: int, sentence: str) -> str:
        """Return a sentence about a file of a frame with its name alone: results are sent, and folders name patients."""
        paths = [*self.cases, *chain.from_iterable(self.images.values())]
        with suppress(InputError):  # its case.json is what cannot be read
            paths += [view.image_path for view in self.file(number).views]
        for folder in (
            *paths,
            *(path.parent for path in paths),
        ):  # a case may be given by its folder
            sentence = sentence.replace(printable(folder) + os.sep, "")
        return sentence

    @property
    def own_cases(self) -> bool:
        """Whether each frame has a case.json of its own."""
        return len(self.cases) > 1

    @classmethod
    def of_cases(cls, paths: Sequence[Path]) -> FrameFiles:
        """Take a case.json, or a folder that holds one, for each frame."""
        return cls(
            tuple(paths),
            list(map(case_name, paths)),
            {},
            [partial(CaseFile.read, path) for path in paths],
        )

    @classmethod
    def of_images(
        cls, path: Path, images: Mapping[str, Sequence[Path]] | None = None
    ) -> FrameFiles:
        """Take the frames of a case.

        Parameters
        ----------
        images
            Of each view, in order, a file for each frame. By default the frames of its multi-frame
            image, from the case's on.

        Raises
        ------
        InputError
            For views that are not the case's, lists of different lengths, and a single frame.
        """
        path = path / "case.json" if os.path.isdir(path) else path
        content = read_json(path)
        file = CaseFile.from_json(path, content)
        listed = _listed(file, images) if images else {}
        if listed:
            names = [image.name for image in next(iter(listed.values()))]
            entries = [[{"image": str(image)} for image in view] for view in listed.values()]
        else:
            entries = _multiframe(file)
            names = [f"frame {entry['frame']}" for entry in entries[0]]
        frames = [_with_images(content, entry) for entry in zip(*entries, strict=True)]
        return cls(
            (path,), names, listed, [partial(CaseFile.from_json, path, frame) for frame in frames]
        )

    def written(self, folder: Path | None) -> dict[str, Any]:
        """Return the JSON for a file in this folder, for `read`: relative paths where possible.

        Absolute for a file that will move.
        """

        def names(paths: Sequence[Path]) -> list[str]:
            if folder is None:
                return [path.resolve().as_posix() for path in paths]
            return [relative_path(path, folder) for path in paths]

        images = {name: names(files) for name, files in self.images.items()}
        return {"cases": names(self.cases), **({"images": images} if images else {})}

    @classmethod
    def read(cls, fields: JsonObject, folder: Path) -> FrameFiles:
        """Read the output of `written`.

        Raises
        ------
        InputError
            For invalid content, and where a file is not there any more.
        """
        cases = _paths(fields, "cases", folder)
        if len(cases) > 1:
            return cls.of_cases(cases)
        if not fields.has("images"):
            return cls.of_images(cases[0])
        images = fields.section("images", "lists of images by the names of the views")
        return cls.of_images(
            cases[0], {name: _paths(images, name, folder) for name in images.values}
        )


def _paths(fields: JsonObject, key: str, folder: Path) -> list[Path]:
    """Return the files of a list of names.

    Raises
    ------
    InputError
        Where one is not there.
    """
    names = fields.texts(key, "a list of paths")
    if not names:
        fields.refuse_value(key, "a list of paths")
    for name in names:
        check_within_upload(fields.file, folder, name)
        if not (folder / name).exists():
            what = f"names {printable(folder / name)}, which is not there"
            fields.refuse(
                key, what, "the files that were tracked", "put them back, or track them again"
            )
    return [folder / name for name in names]


def _listed(file: CaseFile, images: Mapping[str, Sequence[Path]]) -> dict[str, tuple[Path, ...]]:
    """Return the files of each view, in the case's order."""
    views = [view.name for view in file.views]
    if sorted(images) != sorted(views):
        raise InputError(
            f"--images: found {', '.join(map(printable, images))}, expected each view of "
            f"{printable(file.path)} once, {', '.join(views)}; correct it."
        )
    counts = {name: len(files) for name, files in images.items()}
    if len(set(counts.values())) > 1 or max(counts.values()) < 2:
        listed_counts = ", ".join(f"{count} of {printable(name)}" for name, count in counts.items())
        raise InputError(
            f"--images: found {listed_counts}, expected two images or more and as many of each "
            "view; correct the lists."
        )
    missing = next(filterfalse(Path.is_file, chain.from_iterable(images.values())), None)
    if missing:
        raise InputError(
            f"{printable(missing)}: is no file, expected an X-ray image; correct the path."
        )
    return {name: tuple(path.resolve() for path in images[name]) for name in views}


def _multiframe(file: CaseFile) -> list[list[dict[str, Any]]]:
    """Return the entries of each view in each frame; as many as the shortest image has."""
    counts = {view.name: count_frames(view.image_path) - (view.frame or 0) for view in file.views}
    count = min(counts.values())
    if count < 2:
        name = min(counts, key=lambda name: counts[name])
        raise InputError(
            f'{printable(file.path)}: the image of view "{name}" has no frame after the case\'s own, expected multi-frame images; '
            "give a case for each frame, or the images with --images."
        )
    if len(set(counts.values())) > 1:
        listed_counts = ", ".join(f"{number} of {name}" for name, number in counts.items())
        warn(
            f"{printable(file.path)}: the images have frames of different number "
            f"({listed_counts}); the first {count} are taken."
        )
    return [
        [{"frame": (view.frame or 0) + number} for number in range(count)] for view in file.views
    ]


def _with_images(content: dict[str, Any], entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of a case.json with other images, or frames of its images."""
    views = []
    for view, entry in zip(content["views"], entries, strict=True):
        other = {
            key: value for key, value in view.items() if key != "frame" or "image" not in entry
        }
        views.append({**other, **entry})
    return {**content, "views": views}


@dataclass(frozen=True, eq=False)
class Frame:
    """The files of one frame.

    Attributes
    ----------
    starts
        (4, 4) start poses by the names of bodies, where the frame has a case of its own.
    """

    views: list[View]
    starts: Mapping[str, np.ndarray | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Frames:
    """What is tracked: frames in files, or of images in a scene.

    Attributes
    ----------
    first
        The first frame with all else that its case says.
    files
        Where the frames are; None of images that are in no files.
    truths, structure_truths
        (4, 4) world_from_ct by the number of the frame, where its case has one, and by the name of
        the structure; only ever read to report errors.
    """

    first: Case
    files: FrameFiles | None
    truths: dict[int, np.ndarray] = field(default_factory=dict)
    structure_truths: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def names(self) -> list[str]:
        """The names of the frames, for people."""
        raise NotImplementedError

    def load(self, number: int) -> Frame:
        """Return a frame, from 0; errors as of `read`."""
        return self.read(number) if number else Frame(self.first.views)

    def read(self, number: int) -> Frame:
        """Read a frame, also the first.

        Raises
        ------
        InputError
            Where an image of it cannot be read, or shows nothing.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class FrameSequence(Frames):
    """Frames that are loaded on first use.

    The images of one case share the first ones' fields, shutters and masks: to seek those takes
    longer than to follow a structure.
    """

    files: FrameFiles

    @property
    def names(self) -> list[str]:
        """The names of the frames, from their files."""
        return self.files.names

    def load(self, number: int) -> Frame:
        """Return a frame, from 0; errors as of `read`, but without a folder: they are kept."""
        try:
            return super().load(number)
        except InputError as error:
            raise InputError(self.files.without_folders(number, str(error))) from None

    def read(self, number: int) -> Frame:
        """Read a frame from its files, also the first.

        Views that the first has not are left out.
        """
        with collect_warnings():  # the first frame has warned
            file = self.files.file(number)
            known = {view.name: view.xray.valid for view in self.first.views}
            entries = [view for view in file.views if view.name in known]
            if self.files.own_cases:
                xrays = [xray_of(file, view) for view in entries]
            else:
                xrays = [in_field(view, known[view.name]) for view in entries]
            views = views_of(
                printable(file.path), entries, xrays, self.first.ct, file.world_from_ct
            )
        if not self.files.own_cases:
            return Frame(views)
        return Frame(views, {body.name: body.world_from_ct for body in file.bodies})

    @classmethod
    def of_cases(cls, paths: Sequence[Path]) -> FrameSequence:
        """Take a case for each frame.

        Raises
        ------
        InputError
            Where one has another CT, other structures or other views than the first.
        """
        first = Case.load(paths[0])
        hashed: dict[Path, str] = {}
        views = list(first.cameras)
        truths = [first.truth_world_from_ct]
        of_structures = [first.structure_truths]
        for path in paths[1:]:
            file = CaseFile.read(path)
            if [view.name for view in file.views] != views:
                raise InputError(
                    f"{printable(file.path)}: has the views "
                    f"{', '.join(view.name for view in file.views)}, expected those of the first "
                    f"frame, {', '.join(views)}; give cases of the same views."
                )
            if _anatomy(file, hashed) != first.bodies_key:
                raise InputError(
                    f"{printable(file.path)}: names another CT, mask or structures than the first "
                    "frame, expected the same; give cases of one anatomy."
                )
            first.mismatches = list(dict.fromkeys([*first.mismatches, *mismatches_of(file)]))
            truths.append(file.truth_world_from_ct)
            of_structures.append(file.structure_truths)
        known = {number: truth for number, truth in enumerate(truths) if truth is not None}
        return cls(first, FrameFiles.of_cases(paths), known, dict(enumerate(of_structures)))

    @classmethod
    def of_images(
        cls, path: Path, images: Mapping[str, Sequence[Path]] | None = None
    ) -> FrameSequence:
        """Take the frames of a case; parameters and errors as of `FrameFiles.of_images`."""
        files = FrameFiles.of_images(path, images)
        with collect_warnings():  # warned above
            first = Case.of(files.file(0))
        truth = first.truth_world_from_ct
        return cls(first, files, {} if truth is None else {0: truth}, {0: first.structure_truths})


def _anatomy(file: CaseFile, hashed: dict[Path, str]) -> tuple:
    """Return `Case.bodies_key` of a case.

    Parameters
    ----------
    hashed
        The hashes that are known already, by path.
    """

    def sha256_of(path: Path) -> str:
        if path.resolve() not in hashed:
            hashed[path.resolve()] = image_sha256(path)
        return hashed[path.resolve()]

    return tuple(body.keys(sha256_of) for body in file.bodies)
