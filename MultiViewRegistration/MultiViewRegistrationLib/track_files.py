"""A tracked sequence as files: track.json, a table of its poses, and Autoscoper's .tra; read back for the motion of two structures."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .assessment import metrics
from .assessment.overlays import picture_files
from .devices import Place
from .errors import InputError
from .geometry import rigid
from .imaging.ct import CT
from .io.calibration.calibrated import UNITS
from .io.cameras import rigid_matrix
from .io.datasets.tra import autoscoper_from_ct, write_tra
from .io.fields import Fields, found, read_json, shown
from .io.files import staged
from .io.sequence import FrameSequence
from .registration.anatomy import Anatomy
from .result import software
from .tracking.tracker import Tracked

VERSION = 1
FILE = "track.json"
#: Heads of a table's columns with the first three rows of a pose, by rows.
MATRIX = tuple(f"m{row}{column}" for row in range(3) for column in range(4))


@dataclass(eq=False)
class Track:
    """A sequence and those of its frames that are done.

    pace, start, place: of `sequences.follow`.
    """

    sequence: FrameSequence
    anatomy: Anatomy
    pace: str = "thorough"
    start: str = "given"
    frames: list[Tracked] = field(default_factory=list)
    place: Place = field(default_factory=Place)

    @property
    def stopped(self) -> bool:
        """Whether frames are left that were not come to."""
        return len(self.frames) < len(self.sequence)

    def to_json(self) -> dict:
        """The content of track.json."""
        case = self.sequence.first
        return {
            "version": VERSION,
            "case": case.name,
            "frames_in_all": len(self.sequence),
            "stopped": self.stopped,
            "centroid_ct": self.anatomy.centroid.tolist(),
            "views": list(case.cameras),
            "frames": [self._told(frame) for frame in self.frames],
            "start": self.start,
            "pace": self.pace,
            "software": software(self.place),
            "inputs": case.inputs,
        }

    def _told(self, frame: Tracked) -> dict:
        pose, truth = frame.world_from_ct, self.sequence.truths.get(frame.number)
        told = {
            "number": frame.number,
            "name": self.sequence.names[frame.number],
            "how": frame.how,
            "world_from_ct": None if pose is None else pose.tolist(),
            "verdict": frame.verdict,
            "reasons": frame.reasons,
            "similarity": list(frame.similarity),
            "cameras": [{"camera_from_world": camera.camera_from_world.tolist(), "intrinsics": camera.intrinsics.tolist()}
                        for camera in frame.cameras],
            "predicted_upper95_mm": frame.upper95_mm,
            "seconds": frame.seconds,
        }
        if truth is not None and pose is not None:
            targets = self.sequence.first.targets
            told["mtre_mm"] = metrics.mtre(pose, truth, self.anatomy.corners() if targets is None else targets)
        return told

    def overlays(self, tell: Callable[[float, str], object] = lambda fraction, stage: None) -> dict[str, bytes]:
        """Each view of each frame with the edges of the CT at its pose, rejected ones included: PNG files by their names.

        tell: learns the fraction that is done.
        """
        pictures = {}
        for done, frame in enumerate(self.frames):
            tell(done / len(self.frames), "drawing the overlays")
            if frame.world_from_ct is None:
                continue
            for view, camera in zip(self.sequence.load(frame.number).views, frame.cameras, strict=True):
                drr = self.anatomy.drr(camera, frame.world_from_ct)
                pictures[f"frame{frame.number:04}_{view.name}.png"] = picture_files(view.xray, [drr])["edges"][0]
        return pictures

    def save(self, folder: str | os.PathLike, unit: str = "mm", pictures: Mapping[str, bytes] | None = None) -> None:
        """Write track.json, poses.csv and track.tra; all of them appear, or none.

        unit: of the lengths in track.tra, that of the Autoscoper trial, see `calibration.calibrated.UNITS`.
        pictures: written beside them, by their names.

        Frames that were rejected, and those that were not come to, have no pose in track.tra.
        """
        poses = [frame.world_from_ct if frame.kept else None for frame in self.frames]
        ct_from_tra = ct_from_autoscoper(self.sequence.first.ct)
        poses += [None] * (len(self.sequence) - len(poses))
        with staged(folder, last=FILE) as staging:
            for name, picture in (pictures or {}).items():
                (staging / name).write_bytes(picture)
            (staging / "poses.csv").write_text(poses_table(self.frames), encoding="utf-8", newline="")
            write_tra(staging / "track.tra", [pose if pose is None else pose @ ct_from_tra for pose in poses], UNITS[unit])
            (staging / FILE).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class StoredTrack:
    """A track.json as it is read back. poses: (4, 4) world_from_ct of each frame of the sequence, None of those that may not be used."""

    name: str
    poses: list[np.ndarray | None]
    centroid: np.ndarray

    @classmethod
    def read(cls, path: str | os.PathLike) -> StoredTrack:
        """Read a track.json, or the one in a folder. InputError for what is wrong."""
        path = Path(path)
        path = path / FILE if path.is_dir() else path
        content = read_json(path)
        if not isinstance(content, dict):
            raise InputError(f"{shown(path)} is {found(content)}, expected a track.json; choose another file.")
        fields = Fields(shown(path), "", content)
        version = fields.integer("version", f"the number {VERSION}", least=1)
        if version > VERSION:
            fields.refuse("version", f"is {version}", f"at most {VERSION}", "update this program")
        count = fields.integer("frames_in_all", "how many frames the sequence has", least=1)
        poses: list[np.ndarray | None] = [None] * count
        for frame in fields.sections("frames", "a list of one or more frames"):
            number = frame.integer("number", "a frame's number, from 0", least=0)
            if number >= count:
                frame.refuse("number", f"is {number}", f"less than frames_in_all, {count}", "track the sequence again")
            if frame.choice("verdict", ("accept", "check", "reject")) != "reject":
                poses[number] = rigid_matrix(frame, "world_from_ct")
        centroid = fields.array("centroid_ct", (3,), "a point [x, y, z] in CT LPS mm")
        return cls(fields.text("case", "the case's name"), poses, centroid)


def poses_table(frames: Sequence[Tracked]) -> str:
    """CSV: a line for each frame, the pose world_from_ct by rows; empty where there is none."""
    header = ["frame", "verdict", "how", "least_similarity", "predicted_upper95_mm", "seconds", *MATRIX]
    lines = []
    for frame in frames:
        numbers = [min(frame.similarity, default=None), frame.upper95_mm, frame.seconds,
                   *([None] * len(MATRIX) if frame.world_from_ct is None else frame.world_from_ct[:3].ravel())]
        lines.append([frame.number, frame.verdict, frame.how, *map(_number, numbers)])
    return table(header, lines)


def table(header: Sequence[str], lines: Sequence[Sequence]) -> str:
    """CSV text of numbers and words of our own."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def ct_from_autoscoper(ct: CT) -> np.ndarray:
    """(4, 4): the CT's frame from Autoscoper's of the same volume, see `tra.autoscoper_from_ct`, wherever the CT lies."""
    volume = ct.volume
    ct_from_file = volume.ct_from_index @ np.diag([*(1 / volume.spacing_mm), 1.0])
    return ct_from_file @ rigid.inverse(autoscoper_from_ct(volume.values.shape, volume.spacing_mm))
