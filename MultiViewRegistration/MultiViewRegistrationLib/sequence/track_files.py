"""A tracked sequence as files: track.json, a table of its poses, and Autoscoper's .tra.

Read back to be played, and for motion.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..assessment import metrics
from ..assessment.error_by_cause import ErrorByCause, PoseError
from ..assessment.records import UNUSABLE
from ..errors import InputError, Show, unseen
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.body import WHOLE
from ..imaging.ct import CT
from ..imaging.xray import with_cameras
from ..io.calibration.calibrated import UNITS
from ..io.datasets.autoscoper import autoscoper_from_ct, write_tra
from ..io.files import (
    JsonObject,
    describe,
    plain,
    printable,
    write_json,
)
from ..io.folders import staged
from ..io.result_json import assessment_json, bones_in, read_assessment
from ..io.sequence import FrameFiles, Frames
from ..io.view_record import ViewRecord
from ..registration.bone import Bone, bones_of_bodies, parts_of
from ..registration.prepared_ct import PreparedCT
from ..rendering.devices import ComputeDevice
from ..report.details import with_outlines
from ..report.html import png
from ..report.messages import sentences
from ..report.overlays import DRRs, overlays
from ..report.result import software
from .motion import MATRIX, Motion, table
from .tracker import Tracked

VERSION = 1
FILE = "track.json"


@dataclass(eq=False)
class Track:
    """A sequence and those of its frames that are done.

    Parameters
    ----------
    pace, start
        See `run.follow`.
    frames
        Those that are done.
    compute_device
        Where they were done.
    bone
        The structure of the case whose frames these are; None for the whole CT's.
    bones
        All structures of the case; made where they are not given.
    """

    sequence: Frames
    anatomy: PreparedCT
    pace: str = "thorough"
    start: str = "given"
    frames: list[Tracked] = field(default_factory=list)
    compute_device: ComputeDevice = field(default_factory=ComputeDevice)
    bone: Bone | None = None
    bones: Sequence[Bone] = ()

    def __post_init__(self) -> None:
        if not (self.bones or self.bone):
            bodies = self.sequence.first.bodies
            self.bones = bones_of_bodies(bodies, self.anatomy)

    @property
    def stopped(self) -> bool:
        """Whether frames are left that were not reached."""
        return len(self.frames) < len(self.sequence)

    @property
    def centroid(self) -> np.ndarray:
        """(3,) of the structure, CT mm."""
        return self.anatomy.centroid if self.bone is None else self.bone.centroid

    @property
    def poses(self) -> list[np.ndarray | None]:
        """(4, 4) world_from_ct of each frame of the sequence, None of those that may not be used."""
        return poses_of(self.frames, len(self.sequence))

    @property
    def structures(self) -> list[Track]:
        """The tracks of the case's structures."""
        tracks = []
        for bone in self.bones:
            frames = [frame.bones[bone.name] for frame in self.frames]
            tracks.append(replace(self, frames=frames, bone=bone, bones=()))
        return tracks

    @property
    def ct(self) -> CT:
        """The CT whose pose it is: of a bone that has one its own."""
        case = self.sequence.first
        own = (body.ct for body in case.bodies if self.bone and body.name == self.bone.name)
        return next(own, case.ct)

    def to_json(self, folder: str | os.PathLike | None) -> dict:
        """Return the content of a track.json in this folder.

        Of one that will move where there is none.
        """
        case = self.sequence.first
        files = self.sequence.files
        content = {
            "version": VERSION,
            "case": case.name,
            **_written(files, folder),
            "frames_in_all": len(self.sequence),
            "stopped": self.stopped,
            "centroid_ct": self.centroid,
            "views": tuple(case.cameras),
            "frames": [self._frame(frame) for frame in self.frames],
            "start": self.start,
            "pace": self.pace,
            "software": software(self.compute_device),
            "inputs": case.inputs,
        }
        if self.bone is not None:
            content["structure"] = self.bone.name
        return plain(content)

    def _frame(self, frame: Tracked) -> dict:
        content = {
            "number": frame.number,
            "name": self.sequence.names[frame.number],
            **self._found(frame, self.bone),
            "cameras": frame.cameras,
            "seconds": frame.seconds,
        }
        if self.bones:
            content["bodies"] = {
                bone.name: self._found(frame.bones[bone.name], bone) for bone in self.bones
            }
            content["motions"] = frame.motions
        return content

    def _found(self, frame: Tracked, bone: Bone | None) -> dict:
        """Return what was found of the whole CT, or of a bone, in a frame."""
        pose = frame.world_from_ct
        case = self.sequence.first
        content = {
            "how": frame.how,
            "world_from_ct": pose,
            **assessment_json(frame.assessment),
            "reasons": sentences(frame.findings),
            "similarity": [value if np.isfinite(value) else None for value in frame.similarity],
        }
        if frame.pose_error is not None:
            content["error"] = pose_error_json(frame.pose_error)
        if bone is None:
            truth = self.sequence.truths.get(frame.number)
            points = self.anatomy.corners() if case.targets is None else case.targets
        else:
            truth = self.sequence.structure_truths.get(frame.number, {}).get(bone.name)
            points = bone.surface
        if truth is not None and pose is not None:
            content["mtre_mm"] = metrics.mtre(pose, truth, points)
        return content

    def overlays(self, progress: Show = unseen) -> dict[str, bytes]:
        """Return each view of each frame with the edges of the CT at its pose, rejected ones included: PNG files by their names.

        Structures have poses of their own but for rejected ones; their outlines are in further files.

        Parameters
        ----------
        progress
            Called with the fraction that is done, and the stage.
        """
        pictures = {}
        case = self.sequence.first
        parts = parts_of(case.bodies, self.anatomy, case.bone_names)
        for done, frame in enumerate(self.frames):
            progress(done / len(self.frames), "drawing the overlays")
            if not frame.found:
                continue
            drawn, pose = frame.drawn(case.bodies, parts)
            for view in with_cameras(self.sequence.load(frame.number).views, frame.cameras):
                drr = DRRs.of(drawn, view.camera, pose)
                name = f"frame{frame.number:04}_{view.name}"
                pictures[f"{name}.png"] = png(overlays(view.xray, [drr])[0]["edges"])
                if self.bones:
                    placed = [(bone, frame.bones[bone.name].pose) for bone in self.bones]
                    pictures[f"{name}_bones.png"] = png(with_outlines(view, placed))
        return pictures

    def save(
        self,
        folder: str | os.PathLike,
        unit: str = "mm",
        pictures: Mapping[str, bytes] | None = None,
        *,
        moves: bool = False,
    ) -> list[Path]:
        """Write track.json, poses.csv and track.tra; all of them appear, or none.

        The files are returned.

        Each structure of the case has such files, too, which begin with its name, and two
        neighbours that both have a pose in several frames NAME_on_OTHER_motion.csv and .html, see
        `motion`; so has each bone with a CT of its own against the first. Rejected frames, and
        those not reached, have no pose in track.tra.

        Parameters
        ----------
        unit
            Of the lengths in track.tra, that of the Autoscoper trial, see
            `calibration.calibrated.UNITS`.
        pictures
            Written beside them, by their names.
        moves
            Whether the files will be moved elsewhere, away from their case.
        """
        with staged(folder, FILE, _files_of_structures) as staging:
            for name, picture in (pictures or {}).items():
                (staging / name).write_bytes(picture)
            for track in (*self.structures, self):
                name = "" if track.bone is None else f"{track.bone.name}_"
                write_tables(staging, track.frames, len(self.sequence), track.ct, unit, name)
                content = track.to_json(None if moves else folder)
                write_json(staging / f"{name}{FILE}", content)
            self._write_motions(staging)
            names = sorted(file.name for file in staging.iterdir())
        return [Path(folder) / name for name in names]

    def _write_motions(self, folder: Path) -> None:
        tracks = {track.bone.name: track for track in self.structures if track.bone is not None}
        pairs = dict.fromkeys(
            (motion.name, motion.against) for frame in self.frames for motion in frame.motions
        )
        first, *others = self.sequence.first.bodies
        tracks[WHOLE] = self
        bones = first.bone_names or (WHOLE,)
        pairs |= dict.fromkeys(product([body.name for body in others], bones))
        for name, against in pairs:
            fixed = against, tracks[against].frames
            moving = name, tracks[name].frames
            motion = Motion.of(fixed, moving, tracks[name].centroid, len(self.sequence))
            if len(motion.found) > 1:
                motion.write(folder, f"{name}_on_{against}_")


def _files_of_structures(folder: Path) -> list[str]:
    """Return the files of structures that came with the track in a folder."""
    names: list[str] = []
    with suppress(InputError):  # no track yet
        names += StoredTrack.read(folder).frames[0].bones
    files = [f"{name}_{file}" for name, file in product(names, (FILE, "poses.csv", "track.tra"))]
    motions = product(names, names, (".csv", ".html"))
    return files + [f"{name}_on_{other}_motion{ending}" for name, other, ending in motions]


def _written(files: FrameFiles | None, folder: str | os.PathLike | None) -> dict:
    """Return `sequence` of a track.json in a folder, see `FrameFiles.written`; nothing without files."""
    where = folder if folder is None else Path(folder)
    return {} if files is None else {"sequence": files.written(where)}


def poses_of(frames: Sequence[Tracked], count: int) -> list[np.ndarray | None]:
    """Return (4, 4) world_from_ct of each of `count` frames, None of those that may not be used."""
    poses: list[np.ndarray | None] = [None] * count
    for frame in frames:
        poses[frame.number] = frame.pose
    return poses


def write_tables(
    folder: Path, frames: Sequence[Tracked], count: int, ct: CT, unit: str, before: str = ""
) -> None:
    """Write poses.csv, and track.tra with a line for each of `count` frames; see `Track.save`.

    Their names begin with `before`.
    """
    ct_from_tra = ct_from_autoscoper(ct)
    poses = [pose if pose is None else pose @ ct_from_tra for pose in poses_of(frames, count)]
    (folder / f"{before}poses.csv").write_text(poses_table(frames), encoding="utf-8", newline="")
    write_tra(folder / f"{before}track.tra", poses, UNITS[unit])


@dataclass(frozen=True, eq=False)
class StoredTrack:
    """A track.json as it is read back.

    Parameters
    ----------
    count
        How many frames the sequence has.
    frames
        Those that are done, by their numbers; without cameras where these have no size.
    names
        Of the frames that are done.
    centroid
        (3,) of the structure, CT mm.
    inputs
        SHA-256 of the first frame's files, by name.
    folder
        Of the file.
    """

    name: str
    count: int
    frames: list[Tracked]
    names: list[str]
    centroid: np.ndarray
    views: list[str]
    inputs: dict[str, str]
    folder: Path
    _fields: JsonObject

    @property
    def poses(self) -> list[np.ndarray | None]:
        """(4, 4) world_from_ct of each frame of the sequence, None of those that may not be used."""
        return poses_of(self.frames, self.count)

    def to_json(self, folder: str | os.PathLike | None, files: FrameFiles | None) -> dict:
        """Return the content of a track.json in this folder.

        Of one that will move where there is none.

        Parameters
        ----------
        files
            Where the frames are.
        """
        return {**self._fields.values, **_written(files, folder)}

    def files(self) -> FrameFiles:
        """Return the files of the frames.

        Raises
        ------
        InputError
            Where they are not recorded, or have gone.
        """
        if not self._fields.has("sequence"):
            raise InputError(
                f"{self._fields.file}: does not say where its frames are, expected a sequence that "
                "was tracked from files; track it from its case.json."
            )
        files = FrameFiles.read(self._fields.section("sequence"), self.folder)
        if len(files) < self.count:
            raise InputError(
                f"{self._fields.file}: is of {self.count} frames, but its files have {len(files)}, "
                "expected those that were tracked; put them back, or track them again."
            )
        return files

    @classmethod
    def read(cls, path: str | os.PathLike) -> StoredTrack:
        """Read a track.json, or the one in a folder.

        Raises
        ------
        InputError
            For invalid content.
        """
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        fields = JsonObject.read(path, "a track.json")
        return cls.of(fields.values, fields.file, path.parent)

    @classmethod
    def of(cls, content: dict, name: str, folder: Path) -> StoredTrack:
        """Read the content of a track.json.

        Parameters
        ----------
        name
            For messages.
        folder
            To which its paths are relative.
        """
        fields = JsonObject(name, "", content)
        fields.check_version(VERSION)
        count = fields.integer("frames_in_all", "how many frames the sequence has", least=1)
        sections = {}
        for section in fields.sections("frames", "a list of one or more frames"):
            number = section.integer("number", "a frame's number, from 0", least=0)
            if number >= count:
                section.refuse(
                    "number",
                    f"is {number}",
                    f"less than frames_in_all, {count}",
                    "track the sequence again",
                )
            sections[number] = section
        frames = []
        names = []
        for number, section in sorted(sections.items()):
            frames.append(_stored(number, section))
            unnamed = f"frame {number}"
            names.append(section.optional("name", section.text, "the name", default=unnamed))
        centroid = fields.array("centroid_ct", (3,), "a point [x, y, z] in CT LPS mm")
        views = fields.optional("views", fields.texts, "the names of the views", default=[])
        inputs = fields.part("inputs").values
        key, what = (
            ("structure", "its name") if fields.has("structure") else ("case", "the case's name")
        )
        return cls(
            fields.text(key, what), count, frames, names, centroid, views, inputs, folder, fields
        )


def _stored(number: int, fields: JsonObject) -> Tracked:
    """Return a frame as `Track._frame` wrote it; a frame that is lost needs no pose."""
    assessment = read_assessment(fields)
    has_pose = fields.values.get("world_from_ct") is not None
    is_usable = assessment is None or assessment.verdict not in UNUSABLE
    return Tracked(
        number,
        fields.optional("how", fields.text, "how the pose was found", default="followed"),
        fields.rigid("world_from_ct") if has_pose or is_usable else None,
        _similarity(fields),
        _cameras(fields),
        fields.optional("seconds", fields.number, "a number", least=0, default=0.0),
        bones={name: _stored(number, bone) for name, bone in bones_in(fields).items()},
        pose_error=_pose_error(fields.section("error")) if fields.has("error") else None,
        assessment=assessment,
    )


#: Significant digits of the error of a pose.
DIGITS = 4


def pose_error_json(error: PoseError) -> dict[str, Any]:
    """Return the field `error` of a frame in track.json.

    `pivot` is (3,) world mm, and `noise` the covariance (6, 6) of omega, rad, and v, mm, about it;
    each row (6,) of `by_cameras` is the pose error (omega, v) due to an error of one standard deviation
    in one camera parameter.
    """
    return {
        "pivot": error.pivot,
        "noise": _rounded(error.by_cause.noise),
        "by_cameras": _rounded(error.by_cause.by_cameras.T),
    }


def _rounded(numbers: np.ndarray) -> list[list[float]]:
    return [[float(f"{number:.{DIGITS}g}") for number in row] for row in numbers]


def _pose_error(fields: JsonObject) -> PoseError:
    noise = fields.array("noise", (6, 6), "6 rows of 6 numbers")
    cameras = fields.array("by_cameras", (None, 6), "rows of 6 numbers")
    pivot = fields.array("pivot", (3,), "a point [x, y, z] in world LPS mm")
    return PoseError(pivot, ErrorByCause(noise, cameras.T))


def _similarity(fields: JsonObject) -> tuple[float, ...]:
    """Return the similarity of each view, NaN of one that shows nothing of the CT."""
    content = fields.values.get("similarity") or []
    if not isinstance(content, list) or not all(
        value is None or (isinstance(value, (int, float)) and abs(value) <= 1) for value in content
    ):
        fields.refuse(
            "similarity", f"is {describe(content)}", "a number from -1 to 1 for each view"
        )
    return tuple(float("nan") if value is None else float(value) for value in content)


def _cameras(fields: JsonObject) -> tuple[Camera, ...]:
    content = fields.values.get("cameras") or []
    if not all(isinstance(camera, dict) and "size" in camera for camera in content):
        return ()
    cameras = []
    for n, camera in enumerate(content):
        section = JsonObject(fields.file, f"{fields.name}.cameras[{n}]", {"camera": camera})
        cameras.append(ViewRecord.read(section).own_camera)
    return tuple(filter(None, cameras))


def poses_table(frames: Sequence[Tracked]) -> str:
    """Return CSV: a line for each frame, the pose world_from_ct by rows.

    Empty where there is none.
    """
    header = [
        "frame",
        "verdict",
        "how",
        "min_similarity",
        "predicted_upper95_mm",
        "seconds",
        *MATRIX,
    ]
    lines = []
    for frame in frames:
        numbers = [
            min(frame.similarity, default=None),
            frame.upper95_mm,
            frame.seconds,
            *(
                [None] * len(MATRIX)
                if frame.world_from_ct is None
                else frame.world_from_ct[:3].ravel()
            ),
        ]
        lines.append([frame.number, frame.verdict, frame.how, *map(_number, numbers)])
    return table(header, lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def ct_from_autoscoper(ct: CT) -> np.ndarray:
    """Return (4, 4), the CT's frame from Autoscoper's of the same volume, see `tra.autoscoper_from_ct`, wherever the CT lies."""
    volume = ct.volume
    ct_from_file = volume.ct_from_index @ np.diag([*(1 / volume.spacing_mm), 1.0])
    return ct_from_file @ rigid.inverse(autoscoper_from_ct(volume.values.shape, volume.spacing_mm))


def write_motion(
    fixed: str | os.PathLike, moving: str | os.PathLike, folder: str | os.PathLike
) -> dict:
    """Write motion.csv and motion.html, and return their content as plain data.

    Parameters
    ----------
    fixed, moving
        Track.json or its folder, of the same frames.

    Raises
    ------
    InputError
        For tracks of other frames, and where no two frames have both poses.
    """
    a = StoredTrack.read(fixed)
    b = StoredTrack.read(moving)
    if a.count != b.count:
        raise InputError(
            f"{printable(moving)}: is of {b.count} frames, expected the {a.count} of "
            f"{printable(fixed)}; track both structures through the same frames."
        )
    motion = Motion.of((a.name, a.frames), (b.name, b.frames), b.centroid, a.count)
    found = len(motion.found)
    if found < 2:
        raise InputError(
            f"{printable(moving)}: {found or 'no'} frame{'s' * (found != 1)} of it and of "
            f"{printable(fixed)} have both a pose that was not rejected, expected two or more; "
            "track them again."
        )
    files = motion.write(folder)
    return {
        "fixed": a.name,
        "moving": b.name,
        "frames_in_all": a.count,
        "files": list(map(str, files)),
        "motion": plain(motion.to_json()),
    }
