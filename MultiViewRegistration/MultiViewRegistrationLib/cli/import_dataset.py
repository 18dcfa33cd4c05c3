"""`mvreg import`: ordinary cases from data sets as papers use them (docs/datasets.md)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .terminal import add_json

if TYPE_CHECKING:
    from ..io.datasets import Imported


def add_import(command: argparse.ArgumentParser) -> None:
    """Add the data sets of `mvreg import`."""
    kinds = command.add_subparsers(required=True, metavar="DATASET")
    for add in (_deepfluoro, _small, _ljubljana, _autoscoper):
        add(kinds)


def _deepfluoro(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser("deepfluoro", help="DeepFluoro's full-resolution HDF5 file")
    command.add_argument("file", type=Path, help="ipcai_2020_full_res_data.h5")
    command.add_argument(
        "--specimen", required=True, metavar="ID", help="17-1882, 18-1109, 18-0725, 18-2799, 18-2800 or 17-1905"
    )
    command.add_argument(
        "--views",
        required=True,
        type=_numbers,
        metavar="N,...",
        help="numbers of the X-rays; the geometry between several is the true one, which leaks truth",
    )
    command.add_argument(
        "--bone",
        choices=["pelvis", "left-femur", "right-femur"],
        help="register this one alone, by the CT's segmentation (default: the whole CT, at the pelvis's pose)",
    )
    command.add_argument(
        "--crop", type=int, default=0, metavar="PX", help="cut off each side; papers cut 50 (default: %(default)s)"
    )
    command.add_argument(
        "--upright", action="store_true", help="turn images by 180 degrees where the file has the patient upside down"
    )
    command.add_argument(
        "--all-targets", action="store_true", help="all 14 landmarks as targets, rather than those that an image shows"
    )
    _out(command)
    command.set_defaults(run=_import_deepfluoro)


def _small(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser(
        "deepfluoro-small",
        help="images, labels and landmarks of a down-sampled DeepFluoro file, which makes no case",
    )
    command.add_argument("file", type=Path, help="the 2x, 4x, 8x or 16x down-sampled file")
    command.add_argument("--specimen", required=True, metavar="ID", help="as in the full-resolution file, or 01 to 06")
    command.add_argument("--views", required=True, type=_numbers, metavar="N,...", help="numbers of the X-rays")
    _out(command)
    command.set_defaults(run=_import_small)


def _ljubljana(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser("ljubljana", help="Ljubljana's angiograms in the HDF5 file of DiffPose")
    command.add_argument("file", type=Path, help="ljubljana.h5")
    command.add_argument("--subject", required=True, type=int, metavar="N", help="1 to 10")
    command.add_argument(
        "--views", required=True, type=_words, metavar="NAME,...", help="some of ap, lat, ap-max, lat-max"
    )
    command.add_argument("--crop", type=int, default=0, metavar="PX", help="cut off each side (default: %(default)s)")
    command.add_argument(
        "--threshold",
        type=float,
        default=0,
        metavar="VALUE",
        help="voxels below are nothing; DiffPose's registration takes 1000 (default: all count)",
    )
    _out(command)
    command.set_defaults(run=_import_ljubljana)


def _autoscoper(kinds: argparse._SubParsersAction) -> None:
    command = kinds.add_parser("autoscoper", help="one instant of an Autoscoper trial")
    command.add_argument("file", type=Path, help="the trial's .cfg")
    command.add_argument(
        "--frame", required=True, type=int, metavar="N", help="which file of each camera's folder, from 0, by name"
    )
    command.add_argument(
        "--intensity",
        required=True,
        choices=["linear", "log", "auto"],
        help="of the radiographs, which no trial tells: linear (bone dark), log (bone bright), auto (by the look)",
    )
    command.add_argument(
        "--unit",
        required=True,
        choices=["mm", "cm", "m"],
        help="of calibration and voxels, which no trial tells either; XMALab's is that of its calibration object",
    )
    command.add_argument(
        "--volume", metavar="NAME", help="the volume's file without its ending, where the trial has several"
    )
    command.add_argument(
        "--start", type=Path, metavar="FILE.tra", help="tracked poses, of which the frame's is the case's start pose"
    )
    command.add_argument("--truth", type=Path, metavar="FILE.tra", help="tracked poses that count as the truth")
    _out(command)
    command.set_defaults(run=_import_autoscoper)


def _out(command: argparse.ArgumentParser) -> None:
    add_json(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the case.json and its files")


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'found "{text}", expected whole numbers with commas between, as in 0,1'
        ) from None


def _words(text: str) -> list[str]:
    return text.split(",")


def _import_deepfluoro(options: argparse.Namespace) -> dict:
    from ..io.datasets.deepfluoro import read_deepfluoro

    return _written(
        options,
        read_deepfluoro(
            options.file,
            options.specimen,
            options.views,
            bone=options.bone,
            crop=options.crop,
            upright=options.upright,
            all_targets=options.all_targets,
        ),
    )


def _import_small(options: argparse.Namespace) -> dict:
    from ..io.datasets.deepfluoro import convert_small

    files = convert_small(options.file, options.specimen, options.views, options.out)
    print(
        f"{options.out}: images, labels and landmarks, but no case: a down-sampled file has no geometry and no CT.",
        file=sys.stderr,
    )
    return {"files": [str(file) for file in files]}


def _import_ljubljana(options: argparse.Namespace) -> dict:
    from ..io.datasets.ljubljana import read_ljubljana

    return _written(
        options,
        read_ljubljana(options.file, options.subject, options.views, crop=options.crop, threshold=options.threshold),
    )


def _import_autoscoper(options: argparse.Namespace) -> dict:
    from ..io.datasets.autoscoper import read_autoscoper

    return _written(
        options,
        read_autoscoper(
            options.file, options.frame, options.intensity, options.unit, options.volume, options.start, options.truth
        ),
    )


def _written(options: argparse.Namespace, imported: Imported) -> dict:
    path = imported.write(options.out)
    print(
        "\n  ".join([f"{path}: {len(imported.images)} view{'s' * (len(imported.images) != 1)}.", *imported.notes]),
        file=sys.stderr,
    )
    return {"case": str(path), "relative_geometry": imported.content.get("relative_geometry"), "notes": imported.notes}
