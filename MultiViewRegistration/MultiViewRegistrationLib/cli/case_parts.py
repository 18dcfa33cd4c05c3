"""The parts of a new case beside its CT and its views' images: start pose, search, targets, landmarks, a tracker's frame."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError


def add_parts(part: argparse.ArgumentParser) -> None:
    """Their options."""
    words = "[lps|ras] [forward|resampling]"
    part.add_argument(
        "--world-from-ct",
        nargs="+",
        metavar=("FILE", words),
        help="start pose: a transform that takes points of the CT to the world (resampling: of the world to the CT); axes "
        "are LPS in files of ITK, and must be named for text, .npy and .json that do not say them",
    )
    part.add_argument(
        "--reference-from-world",
        nargs="+",
        metavar=("FILE", words),
        help="to the frame of a tracker, likewise; ras of a matrix from Slicer or Plus",
    )
    part.add_argument(
        "--search",
        nargs=2,
        type=float,
        metavar=("DEG", "MM"),
        help="how far the CT may be from its start (default: 15 45)",
    )
    part.add_argument(
        "--targets",
        nargs="+",
        metavar=("FILE", "lps|ras"),
        help="points of the CT at which errors count: Slicer's .fcsv or .mrk.json, or a text of x, y, z in mm a line, with "
        "its axes",
    )
    part.add_argument(
        "--landmarks",
        metavar="FILE",
        help="points of the CT by name, for --start landmarks: Slicer's .fcsv or .mrk.json",
    )


def parts_of(options: argparse.Namespace, views: list[dict[str, Any]]) -> dict[str, Any]:
    """What the case.json says of them.   views: the options of each. InputError for what is wrong."""
    from ..io.points import read_targets
    from ..io.pose_files import read_pose

    more: dict[str, Any] = {}
    for key in ("world_from_ct", "reference_from_world"):
        if given := getattr(options, key):
            more[key] = read_pose(given[0], key, given[1:]).tolist()
    if options.search:
        more["search"] = dict(zip(("rotation_deg", "translation_mm"), options.search, strict=True))
    if options.targets:
        if len(options.targets) > 2:
            raise InputError(
                f"--targets: found {len(options.targets)} words, expected a file and lps or ras; correct it."
            )
        more["targets"] = read_targets(*options.targets).tolist()
    if landmarks := _landmarks(options.landmarks, views):
        more["landmarks"] = landmarks
    return more


def _landmarks(file: str | None, views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The landmarks of the CT, with the pixels at which views show them."""
    from ..io.points import read_markups, read_pixels

    pixels = {view["view"][0]: read_pixels(view["landmark_pixels"]) for view in views if "landmark_pixels" in view}
    if file is None:
        if pixels:
            raise InputError(
                "--landmarks: is missing beside --landmark-pixels, expected the file of their places in the CT; add it."
            )
        return []
    points = read_markups(file)
    for view, seen in pixels.items():
        if unknown := [name for name in seen if name not in points]:
            raise InputError(
                f'--landmark-pixels: view {view} has "{unknown[0]}", which {file} has not, expected names of its points '
                f"({', '.join(list(points)[:6])}); rename it."
            )
    return [
        {
            "name": name,
            "ct": point.tolist(),
            "views": {view: seen[name].tolist() for view, seen in pixels.items() if name in seen},
        }
        for name, point in points.items()
    ]
