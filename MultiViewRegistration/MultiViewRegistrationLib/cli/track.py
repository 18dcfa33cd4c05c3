"""`mvreg track` and `mvreg motion`: track structures through a sequence of frames.

The motion of two against each other.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..assessment.records import VERDICTS
from ..errors import InputError
from ..finding import STARTS, default_start
from ..io.files import printable
from ..report.messages import cautions, sentences
from ..sequence import PACES
from .options import (
    Parser,
    add_device,
    add_out,
    add_progress,
    add_seed,
    case_path,
    progress_of,
    say,
    tell,
)

if TYPE_CHECKING:
    from ..io.sequence import FrameSequence
    from ..registration.optimizer import Progress
    from ..sequence.track_files import Track
    from ..sequence.tracker import Tracked


def add_track(command: Parser) -> None:
    """Add the options of `mvreg track`."""
    command.describe(
        _track,
        "CASE... --out DIR [options]",
        "case.json --out track                 # of multi-frame images",
        "frame*/case.json --out track          # a case for each frame",
        "case.json --images AP ap*.png --images LAT lat*.png --out track",
    )
    add = command.add_argument
    add_progress(command)
    add_device(command)
    add(
        "cases",
        type=case_path,
        nargs="+",
        metavar="CASE",
        help="one case with multi-frame images or --images; or a case for each frame, in order",
    )
    add(
        "--images",
        nargs="+",
        action="append",
        metavar=("VIEW", "FILE"),
        help="images of a view of the one case, in order; once for each view",
    )
    add(
        "--start",
        choices=STARTS,
        help="of the first frame, see mvreg register (default: what the case has)",
    )
    add(
        "--pace",
        choices=PACES,
        default="thorough",
        help="quick: fewer steps, and no assessment of tracked frames, whose verdict is then at best check "
        "(default: %(default)s)",
    )
    add_seed(command, "of the searches")
    add(
        "--tra-unit",
        choices=["mm", "cm", "m"],
        default="mm",
        help="unit of the Autoscoper trial, for track.tra (default: %(default)s)",
    )
    add(
        "--overlays",
        action="store_true",
        help="also draw the edges of the CT, and bones' outlines, over each frame",
    )
    add_out(command, "folder of track.json, poses.csv and track.tra", required=True)


def add_motion(command: Parser) -> None:
    """Add the options of `mvreg motion`."""
    command.describe(_motion, "FIXED MOVING --out DIR", "radius-track ulna-track --out motion")
    add = command.add_argument
    add(
        "fixed",
        type=Path,
        metavar="FIXED",
        help="track.json of the reference structure, or its folder",
    )
    add(
        "moving",
        type=Path,
        metavar="MOVING",
        help="track.json of the other structure, of the same frames",
    )
    add_out(command, "folder of motion.csv and motion.html", required=True)


def _track(options: argparse.Namespace) -> dict:
    from ..registration.prepared_ct import PreparedCT
    from ..rendering.devices import ComputeDevice
    from ..sequence.growing_track import GrowingTrack
    from ..sequence.run import follow
    from ..sequence.track_files import Track

    with progress_of(options, "Tracking") as line:
        sequence = _sequence(options)
        start = options.start or default_start(sequence.first)
        track = Track(
            sequence,
            PreparedCT(sequence.first.ct),
            options.pace,
            start,
            compute_device=ComputeDevice(options.device, registering=True),
        )

        growing = GrowingTrack(track, options.out, options.tra_unit)

        def registering(progress: Progress) -> None:
            line.show((len(track.frames) + progress.fraction) / len(sequence), progress.stage)

        try:
            for frame in follow(
                sequence,
                track.anatomy,
                start,
                options.pace,
                options.seed,
                registering,
                track.compute_device,
            ):
                growing.add(frame)
                line.show(
                    len(track.frames) / len(sequence),
                    f"frame {len(track.frames)} of {len(sequence)}",
                )
            pictures = track.overlays(line.show) if options.overlays else {}
        except KeyboardInterrupt:
            if track.frames:
                _summarise(track, growing.save())
            raise
        growing.save(pictures)
    _summarise(track, options.out)
    return track.to_json(options.out)


def _sequence(options: argparse.Namespace) -> FrameSequence:
    from ..io.sequence import FrameSequence

    if len(options.cases) > 1:
        if options.images:
            raise InputError(
                "--images: takes one case, and there are several; leave it out, or give one case."
            )
        return FrameSequence.of_cases(options.cases)
    images = {name: [Path(file) for file in files] for name, *files in options.images or ()}
    if len(images) < len(options.images or ()):
        raise InputError("--images: names a view twice, expected each view once; correct it.")
    return FrameSequence.of_images(options.cases[0], images)


def _summarise(track: Track, out: Path) -> None:
    """Print the summary of a tracked sequence."""
    frames = track.frames
    seconds = [frame.seconds for frame in frames if frame.how == "followed"]
    pace = (
        f"; followed at {len(seconds) / sum(seconds):.1f} frames a second without loading"
        if seconds
        else ""
    )
    say(
        f"{len(frames)} of {len(track.sequence)} frames{pace}. "
        f"Verdicts on the 3D position: {_verdicts(frames)}."
    )
    for name in frames[0].bones:
        say(f"  {name}: {_verdicts([frame.bones[name] for frame in frames])}.")
    for frame in frames:
        bones = frame.bones.items() if frame.found else ()
        for name, found in (("", frame), *bones):
            if found.how not in ("followed", name and "registered") or not found.kept:
                what = ", ".join(filter(None, [track.sequence.names[frame.number], name]))
                reasons = " ".join(sentences(cautions(found.findings)))
                say(f"  {what}: {found.how}, {found.overall_verdict}. {reasons}".rstrip())
    say(f"  {out / 'track.json'}")


def _verdicts(frames: Sequence[Tracked]) -> str:
    """Count the frames with each verdict."""
    counts = Counter(frame.overall_verdict for frame in frames)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])


def _motion(options: argparse.Namespace) -> dict:
    from ..sequence.track_files import write_motion

    motion = write_motion(options.fixed, options.moving, options.out)
    title = printable(f"{motion['moving']} against {motion['fixed']}")
    tell(options, f"Wrote the motion of {title}:", *(f"  {file}" for file in motion["files"]))
    return motion
