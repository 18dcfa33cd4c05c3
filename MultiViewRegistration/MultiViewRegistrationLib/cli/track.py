"""`mvreg track` and `mvreg motion`: a structure followed through a sequence of frames, and how two of them move against each other."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .working import PREPARING, progress_of

if TYPE_CHECKING:
    from ..io.sequence import FrameSequence
    from ..registration.pipeline import Progress
    from ..sequence.track_files import Track


def add(
    commands: argparse._SubParsersAction, common: argparse.ArgumentParser, working: argparse.ArgumentParser
) -> None:
    """Make the commands' parsers."""
    command = commands.add_parser(
        "track", parents=[common, working], help="follow a structure through frame after frame of the same views"
    )
    command.add_argument(
        "cases",
        type=Path,
        nargs="+",
        metavar="CASE",
        help="one case, whose images have several frames or come by --images; or a case for each frame, in order",
    )
    command.add_argument(
        "--images",
        nargs="+",
        action="append",
        metavar=("VIEW", "FILE"),
        help="of a view of the one case: its images in order, in place of the case's; once for each view",
    )
    command.add_argument(
        "--start",
        choices=["given", "search", "landmarks", "regressor", "auto"],
        default="given",
        help="of the first frame, see mvreg register (default: %(default)s)",
    )
    command.add_argument(
        "--pace",
        choices=["thorough", "quick"],
        default="thorough",
        help="quick: fewer steps and no assessment of the frames that are followed, which are then at best to be checked "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--device",
        default="cpu",
        metavar="auto|cpu|cuda[:N]",
        help="where it works, see mvreg register (default: %(default)s)",
    )
    command.add_argument("--seed", type=int, default=0, help="of the searches (default: %(default)s)")
    command.add_argument(
        "--tra-unit",
        choices=["mm", "cm", "m"],
        default="mm",
        help="of the lengths in track.tra, that of the Autoscoper trial (default: %(default)s)",
    )
    command.add_argument(
        "--overlays", action="store_true", help="also draw each frame with the edges of the CT, to look at or to play"
    )
    command.add_argument("--out", type=Path, required=True, help="folder of track.json, poses.csv and track.tra")
    command.set_defaults(run=_track)

    command = commands.add_parser(
        "motion", parents=[common], help="how two structures that were tracked move against each other"
    )
    command.add_argument(
        "fixed", type=Path, help="track.json of the structure against which the other moves, or its folder"
    )
    command.add_argument("moving", type=Path, help="track.json of the other, from the same frames")
    command.add_argument("--out", type=Path, required=True, help="folder of motion.csv and motion.html")
    command.set_defaults(run=_motion)


def _track(options: argparse.Namespace) -> dict:
    from ..registration.prepared_ct import PreparedCT
    from ..rendering.devices import ComputeDevice
    from ..sequence.run import follow
    from ..sequence.track_files import Track

    with progress_of(options, "Tracking") as line:
        line.show(0.0, PREPARING)
        sequence = _sequence(options)
        track = Track(
            sequence,
            PreparedCT(sequence.first.ct),
            options.pace,
            options.start,
            compute_device=ComputeDevice(options.device),
        )

        def registering(told: Progress) -> None:
            line.show((len(track.frames) + told.fraction) / len(sequence), told.stage)

        try:
            for frame in follow(
                sequence, track.anatomy, options.start, options.pace, options.seed, registering, track.compute_device
            ):
                track.frames.append(frame)
                line.show(len(track.frames) / len(sequence), f"frame {len(track.frames)} of {len(sequence)}")
            pictures = track.overlays(line.show) if options.overlays else {}
        except KeyboardInterrupt:
            if track.frames:
                track.save(options.out, options.tra_unit)
                _tell(track, options.out)
            raise
        track.save(options.out, options.tra_unit, pictures)
    _tell(track, options.out)
    return track.to_json(options.out)


def _sequence(options: argparse.Namespace) -> FrameSequence:
    from ..io.sequence import FrameSequence

    if len(options.cases) > 1:
        if options.images:
            raise InputError(
                "--images: found with several cases, expected it with one; leave it out, or give one case."
            )
        return FrameSequence.of_cases(options.cases)
    images = {name: [Path(file) for file in files] for name, *files in options.images or ()}
    if len(images) < len(options.images or ()):
        raise InputError("--images: names a view twice, expected each view once; correct it.")
    return FrameSequence.of_images(options.cases[0], images)


def _tell(track: Track, out: Path) -> None:
    """The few lines that a person wants to read when a sequence is done."""
    frames, seconds = track.frames, [frame.seconds for frame in track.frames if frame.how == "followed"]
    verdicts = ", ".join(
        f"{count} {verdict}"
        for verdict in ("accept", "check", "reject")
        if (count := sum(frame.verdict == verdict for frame in frames))
    )
    pace = f"; followed at {len(seconds) / sum(seconds):.1f} frames a second without loading" if seconds else ""
    print(
        f"{track.sequence.first.name}: {len(frames)} of {len(track.sequence)} frames{pace}. Verdicts: {verdicts}.",
        file=sys.stderr,
    )
    for frame in frames:
        if frame.how != "followed" or not frame.kept:
            reasons = " ".join(frame.reasons)
            print(
                f"  {track.sequence.names[frame.number]}: {frame.how}, {frame.verdict}. {reasons}".rstrip(),
                file=sys.stderr,
            )
    print(f"  {out / 'track.json'}", file=sys.stderr)


def _motion(options: argparse.Namespace) -> dict:
    from ..sequence.motion_files import write_motion

    return write_motion(options.fixed, options.moving, options.out)
