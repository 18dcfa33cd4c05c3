"""Tracks on disk, made by the library itself in a second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from MultiViewRegistrationLib.geometry import rigid


def write_track(case: Path, folder: Path, pace: str = "quick") -> Path:
    """The folder of a case's frames, tracked."""
    from MultiViewRegistrationLib.io.sequence import FrameSequence
    from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
    from MultiViewRegistrationLib.sequence.run import follow
    from MultiViewRegistrationLib.sequence.track_files import Track

    sequence = FrameSequence.of_images(case)
    track = Track(sequence, PreparedCT(sequence.first.ct), pace)
    track.frames.extend(follow(sequence, track.anatomy, pace=pace))
    track.save(folder)
    return folder


def write_turning(track: Path, folder: Path, name: str = "<b>turning</b>") -> Path:
    """The track.json of a structure that turns by 5 degrees a frame about the first axis of the one in a track."""
    told = json.loads((track / "track.json").read_text(encoding="utf-8"))
    for frame in told["frames"]:
        if frame["world_from_ct"] is not None:
            turn = rigid.from_rotation_translation(rigid.exp_so3(np.radians([5.0 * frame["number"], 0, 0])), [0, 0, 0])
            frame["world_from_ct"] = (np.array(frame["world_from_ct"]) @ turn).tolist()
    folder.mkdir(exist_ok=True)
    (folder / "track.json").write_text(json.dumps({**told, "case": name}), encoding="utf-8")
    return folder / "track.json"
