"""`mvreg import`: ordinary cases from data sets as papers use them (docs/datasets.md)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import Parser, add_out, say, sentence

if TYPE_CHECKING:
    from ..io.datasets import Imported


#: Reads a case of a data set.
Read = Callable[[argparse.Namespace], "Imported"]


def add_import(command: Parser) -> None:
    """Add the data sets of `mvreg import`."""
    command.describe(
        None,
        "DATASET FILE --out DIR [options]",
        "deepfluoro ipcai_2020_full_res_data.h5 --specimen 17-1882 --views 0,1 --out case",
        "ljubljana ljubljana.h5 --subject 1 --views ap,lat --out case",
        "autoscoper trial.cfg --frame 0 --intensity linear --unit mm --out case",
        "deepfluoro --help",
    )
    kinds = command.add_subparsers(required=True, metavar="DATASET")

    def dataset(name: str, about: str, file: str, read: Read) -> argparse.ArgumentParser:
        part = kinds.add_parser(name, help=about, description=sentence(about))
        part.usage = f"{part.prog} FILE --out DIR [options]"
        part.does(partial(_import, read))
        part.add_argument("file", type=Path, metavar="FILE", help=file)
        add_out(part, "folder of the case.json and its files", required=True)
        return part

    numbers: dict[str, Any] = {"required": True, "type": _numbers, "metavar": "N,..."}
    crop: dict[str, Any] = {"type": int, "default": 0, "metavar": "PX"}

    part = dataset(
        "deepfluoro",
        "DeepFluoro's full-resolution HDF5 file",
        "ipcai_2020_full_res_data.h5",
        _deepfluoro,
    )
    add = part.add_argument
    add(
        "--specimen",
        required=True,
        metavar="ID",
        help="17-1882, 18-1109, 18-0725, 18-2799, 18-2800 or 17-1905",
    )
    add(
        "--views",
        **numbers,
        help="numbers of the X-rays; the geometry between several is the true one, which leaks truth",
    )
    add(
        "--bone",
        choices=["pelvis", "left-femur", "right-femur"],
        help="register this one alone, by the CT's segmentation (default: the whole CT, at the pelvis's pose)",
    )
    add("--crop", **crop, help="cut off each side; papers cut 50 (default: %(default)s)")
    add(
        "--upright",
        action="store_true",
        help="turn images by 180 degrees where the file has the patient upside down",
    )
    add(
        "--all-targets",
        action="store_true",
        help="all 14 landmarks as targets, rather than those that an image shows",
    )

    part = dataset(
        "ljubljana",
        "Ljubljana's angiograms in the HDF5 file of DiffPose",
        "ljubljana.h5",
        _ljubljana,
    )
    add = part.add_argument
    add("--subject", required=True, type=int, metavar="N", help="1 to 10")
    add(
        "--views",
        required=True,
        type=_words,
        metavar="NAME,...",
        help="some of ap, lat, ap-max, lat-max",
    )
    add("--crop", **crop, help="cut off each side (default: %(default)s)")
    add(
        "--threshold",
        type=float,
        default=0,
        metavar="VALUE",
        help="voxels below are nothing; DiffPose's registration takes 1000 (default: all count)",
    )

    add = dataset(
        "autoscoper", "one instant of an Autoscoper trial", "the trial's .cfg", _autoscoper
    ).add_argument
    add(
        "--frame",
        required=True,
        type=int,
        metavar="N",
        help="which file of each camera's folder, from 0, by name",
    )
    add(
        "--intensity",
        required=True,
        choices=["linear", "log", "auto"],
        help="of the radiographs, which no trial states: linear (bone dark), log (bone bright), auto (by the look)",
    )
    add(
        "--unit",
        required=True,
        choices=["mm", "cm", "m"],
        help="of calibration and voxels, which no trial states either; XMALab's is that of its calibration object",
    )
    add(
        "--volume",
        metavar="NAME",
        help="the volume's file without its ending, where the trial has several",
    )
    add(
        "--start",
        type=Path,
        metavar="FILE.tra",
        help="tracked poses; the frame's own is the case's start pose",
    )
    add("--truth", type=Path, metavar="FILE.tra", help="tracked poses that count as the truth")


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'found "{text}", expected whole numbers with commas between, as in 0,1'
        ) from None


def _words(text: str) -> list[str]:
    return text.split(",")


def _deepfluoro(options: argparse.Namespace) -> Imported:
    from ..io.datasets.deepfluoro import read_deepfluoro

    how = {name: getattr(options, name) for name in ("bone", "crop", "upright", "all_targets")}
    return read_deepfluoro(options.file, options.specimen, options.views, **how)


def _ljubljana(options: argparse.Namespace) -> Imported:
    from ..io.datasets.deepfluoro import read_ljubljana

    how = {"crop": options.crop, "threshold": options.threshold}
    return read_ljubljana(options.file, options.subject, options.views, **how)


def _autoscoper(options: argparse.Namespace) -> Imported:
    from ..io.datasets.autoscoper import read_autoscoper

    how = options.frame, options.intensity, options.unit
    poses = options.start, options.truth
    return read_autoscoper(options.file, *how, options.volume, *poses)


def _import(read: Read, options: argparse.Namespace) -> dict:
    """Write a case, and return what is printed of it."""
    imported = read(options)
    path = imported.write(options.out)
    count = len(imported.images)
    say("\n  ".join([f"{path}: {count} view{'s' * (count != 1)}.", *imported.notes]))
    return {
        "case": str(path),
        "relative_geometry": imported.content.get("relative_geometry"),
        "notes": imported.notes,
    }
